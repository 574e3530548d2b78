// Events and their acks; written by `generate_types.py`, not by hand.
// Later versions of the service may add fields.

export type Anything = Record<string, unknown>;

/** Who brought something about. */
export interface By {
  who: string;
  role: string;
  via: "socket" | "rest" | "job" | "cli";
}

/** The number of clients that have joined the session. */
export interface Clients {
  active_clients: number;
}

/** A command for the device. */
export interface Command {
  command_id: string;
  command: string;
  params: unknown;
  attempt: number;
}

/** A device's ack of `command`. Any ack means delivered; an ack with `ok` also carries the result. */
export interface CommandAck {
  ok?: boolean | null;
  result?: unknown;
  error?: unknown;
}

/** The status of a command when the ack was sent. */
export interface CommandOutcome {
  command_id: string;
  status: "queued" | "sent" | "delivered" | "succeeded" | "failed" | "timed_out" | "expired" | "cancelled";
  result?: unknown;
  error?: unknown;
}

/** `command_result`: the result of a command that was delivered earlier. */
export interface CommandResult {
  command_id: string;
  ok: boolean;
  result?: unknown;
  error?: unknown;
}

/** A command and its status. */
export interface CommandState {
  command_id: string;
  status: "queued" | "sent" | "delivered" | "succeeded" | "failed" | "timed_out" | "expired" | "cancelled";
}

/** A new status of a command. */
export interface CommandUpdate {
  command_id: string;
  status: "queued" | "sent" | "delivered" | "succeeded" | "failed" | "timed_out" | "expired" | "cancelled";
  session_id: string;
  command: string;
  result?: unknown;
  error?: unknown;
  at: number;
}

/** `auth` of the connect: the token. */
export interface Connect {
  token?: string | null;
}

/** The connect was refused. */
export interface ConnectError {
  message: string;
  data: Error;
}

/** Sessions by state. */
export interface Counts {
  active: number;
  inactive: number;
  archived: number;
}

/** Samples of data keys by time, or one point per interval. */
export interface Data {
  data: Record<string, unknown[][]>;
  kept: Record<string, Kept>;
  setting: string;
  cut: string[];
}

/** `update_setup` of a device: its own new setup, or the version it runs. */
export interface DeviceSetup {
  session_id?: string | null;
  setup?: unknown;
  version?: number | null;
  reported_version?: number | null;
  device_id?: string | null;
}

/** When to connect again, to another node. */
export interface Draining {
  reconnect_after_s: number;
}

/** An error. It may have more fields, such as `session_id` or `max_bytes`. */
export interface Error {
  code: "archive_corrupt" | "batch_not_found" | "command_not_found" | "command_timeout" | "conflict" | "device_offline" | "draining" | "file_not_found" | "flapping" | "idempotency_mismatch" | "internal" | "invalid_request" | "job_not_found" | "key_not_found" | "not_allowed" | "not_authenticated" | "not_registered" | "overloaded" | "precondition_failed" | "rate_limited" | "session_not_found" | "slow_client" | "stale_generation" | "store_unavailable" | "too_large" | "version_not_found";
  message: string;
  retryable: boolean;
  retry_after_s?: number | null;
  expected_seq?: number | null;
  log_id?: string | null;
}

/** An entry of the timeline. */
export interface Event {
  at: number;
  event: string;
  by?: By | null;
}

/** Whether what this dashboard was sent is current; each time when that changes. */
export interface FeedState {
  stale: boolean;
  behind_s: number;
}

/** One session. */
export interface FoundSession {
  session: Session;
}

/** `get_data`: samples of some data keys by time, or one point per interval. */
export interface GetData {
  session_id?: string;
  keys: string[];
  since?: number | null;
  until?: number | null;
  step?: number | null;
  agg?: "avg" | "min" | "max" | "last" | "count" | null;
  device_id?: string;
}

/** How far back the samples of a data key go. */
export interface Kept {
  oldest: number | null;
  samples: number;
  at_most: number;
}

/** How long to wait before connecting again. */
export interface Kicked {
  retry_after_s: number;
}

/** `get_active_sessions`, `get_inactive_sessions`: one page of summaries. */
export interface ListSessions {
  limit?: number;
  cursor?: string | null;
  q?: string | null;
  project_id?: string | null;
}

/** Memory in percent. */
export interface Memory {
  available_percent: number;
  redis_percent: number | null;
}

/** Workers archived sessions early, because memory was short. */
export interface MemoryRelieved {
  archived: number;
  before: Memory;
  after: Memory;
  error: string;
}

/** Where the living nodes are, each time when that changes. */
export interface Nodes {
  nodes: string[];
}

/** The session concerned. */
export interface OfSession {
  session_id: string;
}

/** The event succeeded. */
export interface Ok {
  ok: true;
}

/** `get_active_session`, `get_inactive_session`, `join_session`, `leave_session`, `delete_session`. */
export interface OneSession {
  session_id?: string;
  device_id?: string;
}

/** The event failed. */
export interface Refused {
  ok: false;
  error: Error;
}

/** `register`: this socket is the device; without an id the service creates one. */
export interface Register {
  session_id?: string | null;
  session_name?: string | null;
  project_id?: string | null;
  meta?: Record<string, unknown> | null;
  stream?: string;
  device_id?: string | null;
}

/** `register_vue`: watch a scope, from now on or from a cursor on. */
export interface RegisterVue {
  scope?: "fleet" | null | Record<string, unknown>;
  batch?: boolean;
  interval_ms?: number | null;
  prompt?: boolean;
  cursor?: string | null;
  page?: string | null;
  samples?: "none" | "latest" | "all";
  values?: string[] | null;
}

/** This socket now owns the session. */
export interface Registered {
  session_id: string;
  generation: number;
  resumed: boolean;
  restored: boolean;
  rev: number;
  last_seq: number;
  setup: unknown;
  setup_version: number;
  server_time: number;
}

/** The setup version that the device runs, as it reported. */
export interface Reported {
  reported_version: number;
}

/** The changes after the cursor are no longer available. */
export interface Resync {
  reason: "epoch_changed" | "feed_trimmed" | "unreadable";
}

/** One sample. */
export interface SampleUpdate {
  device_id: string;
  session_id: string;
  key: string;
  value: unknown;
  ts: number;
  rev: number;
  conflated?: true | null;
}

/** A batch of samples. */
export interface SampleUpdates {
  updates: unknown[][];
  cursor: string;
  conflated?: true | null;
}

/** `send_command`: a command for a device, on whatever node it is connected. */
export interface SendCommand {
  session_id?: string;
  command: string;
  params?: unknown;
  ttl_s?: number | null;
  wait?: "queued" | "delivered" | "result";
  timeout_s?: number | null;
  idempotency_key?: string | null;
  device_id?: string;
}

/** The time; a `pong` also has the fields of its `ping`. */
export interface ServerTime {
  server_time: number;
}

/** A session with its setup, statistics, timeline and samples. */
export interface Session {
  session_id: string;
  device_id: string;
  session_name: string;
  project_id: string;
  state: "active" | "inactive" | "archived";
  is_connected: boolean;
  node_id: string | null;
  created_at: number | null;
  start_time: number | null;
  disconnected_at: number | null;
  disconnect_reason: string | null;
  setup_version: number;
  in_sync: boolean;
  active_clients: number;
  open_commands: number;
  last_activity: number | null;
  expect_every_s: number | null;
  seen_by: "socket" | "http" | null;
  rev: number;
  values?: Record<string, unknown[]> | null;
  generation: number;
  stream: string;
  last_seq: number;
  meta: Record<string, unknown> | null;
  setup: unknown;
  setup_timestamp: number | null;
  reported_version: number;
  undo_available: boolean;
  redo_available: boolean;
  last_ping: number | null;
  last_update: number | null;
  statistics: Statistics;
  timeline: Event[];
  telemetry: Record<string, unknown>;
  data: Record<string, unknown[][]>;
}

/** A page of sessions. */
export interface SessionsPage {
  sessions: Summary[];
  next: string | null;
  total: number | null;
}

/** Changes of summaries; `removed` is applied first. */
export interface SessionsUpdate {
  changed: Summary[];
  removed: string[];
  counts: Counts;
  cursor: string;
}

/** The setup that the device should run. */
export interface Setup {
  setup: unknown;
  setup_version: number;
}

/** The state of the setup after the change. */
export interface SetupChanged {
  setup_version: number;
  undo_available: boolean;
  redo_available: boolean;
}

/** `update_setup` of a dashboard: a complete setup, or an RFC 7396 merge patch. */
export interface SetupEdit {
  session_id?: string;
  setup?: unknown;
  patch?: unknown;
  version?: number | null;
  device_id?: string;
}

/** `undo_setup`, `redo_setup`. */
export interface SetupStep {
  session_id?: string;
  version?: number | null;
  device_id?: string;
}

/** The state of the scope, or the confirmation that the cursor is continued. */
export interface Snapshot {
  recovered: boolean;
  cursor: string | null;
  counts: Counts;
  active: Summary[];
  inactive: Summary[];
  nodes?: string[] | null;
  next?: string | null;
  stale?: true | null;
  behind_s?: number | null;
}

/** Totals over the whole life of a session. */
export interface Statistics {
  updates: number;
  connects: number;
  connected_s: number;
  bytes_in: number;
  bytes_held: number | null;
}

/** The update was stored in Redis. */
export interface Stored {
  rev: number;
  duplicate?: true | null;
}

/** A session in a list. */
export interface Summary {
  session_id: string;
  device_id: string;
  session_name: string;
  project_id: string;
  state: "active" | "inactive" | "archived";
  is_connected: boolean;
  node_id: string | null;
  created_at: number | null;
  start_time: number | null;
  disconnected_at: number | null;
  disconnect_reason: string | null;
  setup_version: number;
  in_sync: boolean;
  active_clients: number;
  open_commands: number;
  last_activity: number | null;
  expect_every_s: number | null;
  seen_by: "socket" | "http" | null;
  rev: number;
  values?: Record<string, unknown[]> | null;
}

/** `update_data`: samples in one of three forms. */
export interface UpdateData {
  ts?: number | null;
  seq?: number | null;
  key?: string;
  value?: unknown;
  data?: Record<string, unknown>;
  samples?: unknown[][];
}

/** `update_telemetry`: the latest values of some keys. */
export interface UpdateTelemetry {
  ts?: number | null;
  seq?: number | null;
  telemetry: Record<string, unknown>;
}

/** What a new name, such as a data key, has to match. */
export const NAME = new RegExp("^(?:[ -~]|[^\\u0000-\\u007F\\u0000-\\u001F\\u007F-\\u009F\\u2028-\\u2029\\u00AD-\\u00AD\\u034F-\\u034F\\u061C-\\u061C\\u115F-\\u1160\\u17B4-\\u17B5\\u180E-\\u180E\\u200B-\\u200B\\u200E-\\u200F\\u202A-\\u202E\\u2060-\\u206F\\u3164-\\u3164\\uFEFF-\\uFEFF\\uFFA0-\\uFFA0\\uFFF0-\\uFFF8\ud82f\udca0-\ud82f\udca3\ud834\udd73-\ud834\udd7a\udb40\udc00-\udb40\udcff\udb40\uddf0-\udb43\udfff\\u180B-\\u180D\\u180F-\\u180F\\u200C-\\u200D\\uFE00-\\uFE0F\udb40\udd00-\udb40\uddef][\\u180B-\\u180D\\u180F-\\u180F\\u200C-\\u200D\\uFE00-\\uFE0F\udb40\udd00-\udb40\uddef]{0,2})+$", "u");
