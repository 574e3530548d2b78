// Devices, dashboards and operators of Muster.
export { Device, type DeviceOptions, type DeviceState } from "./device/device.js";
export type { ConnectOptions } from "./connector.js";
export type { Bounds } from "./device/buffer.js";
export type { CommandHandler } from "./device/commands.js";
export type { SetupHandler } from "./device/setups.js";
export type { Json } from "./device/samples.js";
export {
  BadBuffer,
  BufferInUse,
  Conflict,
  InvalidSample,
  MusterError,
  NotConnected,
  Refused,
  type ErrorBody,
} from "./errors.js";
export type { Summary, Counts, CommandUpdate } from "./event_types.js";
export type { Change, FleetState, SampleRow } from "./fleet/changes.js";
export { Fleet, type FleetListener, type FleetOptions, type FleetSnapshot, type Scope } from "./fleet/fleet.js";
export { nextFrame, type Schedule } from "./fleet/frames.js";
export type { Parse } from "./packets.js";
export type { Transport } from "./socket.js";
export type { Token } from "./tokens.js";
export { Operator } from "./operator.js";
export type { BulkTarget, CommandOptions, OperatorOptions, Sample, SessionFilters, SessionsPage } from "./operator.js";
export type { Alarms, Batch, BatchDevice, Command, JobAccepted, Session } from "./rest_types.js";
export type { Summary as ListedSession } from "./rest_types.js";
