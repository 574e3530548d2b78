// Bodies of the REST API; written by `generate_types.py`, not by hand.
// Later versions of the service may add fields.

/** A condition that needs an operator. */
export interface Alarm {
  name: string;
  severity: "warning" | "critical";
  message: string;
  subject: string;
  since: string;
  until: string | null;
}

/** Active alarms, and past ones, newest first. */
export interface Alarms {
  active: Alarm[];
  history: Alarm[];
}

/** A bulk command. */
export interface Batch {
  batch_id: string;
  command: string;
  params: unknown;
  state: "queued" | "running" | "done";
  created_at: string;
  finished_at: string | null;
  total: number | null;
  statuses: Record<string, number>;
  devices: BatchDevice[];
  next: string | null;
}

/** The outcome of a bulk command for one device. */
export interface BatchDevice {
  session_id: string;
  status: string;
  command_id: string | null;
  result?: unknown;
  error?: unknown;
}

/** A command for many devices: those in `session_ids`, or those that match `filter`. */
export interface BulkCommand {
  command: string;
  params?: unknown;
  ttl_s?: number | null;
  session_ids?: string[];
  filter?: Filter;
}

/** Who brought something about. */
export interface By {
  who: string;
  role: string;
  via: "socket" | "rest" | "job" | "cli";
}

/** What a cleanup removed, or would remove. */
export interface Cleanup {
  removed_sessions: string[];
  count: number;
  failed_sessions: CleanupFailure[];
  more: boolean;
  dry_run: boolean;
}

/** A session that could not be removed, and the error code. */
export interface CleanupFailure {
  session_id: string;
  code: string;
}

/** The sessions to archive or delete. */
export interface CleanupRequest {
  max_inactive_hours?: number;
  dry_run?: boolean;
  purge?: boolean;
  limit?: number;
}

/** A dashboard's socket that has joined the session. */
export interface Client {
  client_id: string;
  node_id: string;
  name: string;
  since: string | null;
}

/** The clients that have joined a session. */
export interface Clients {
  session_id: string;
  active_clients: number;
  clients: Client[];
}

/** A command and its status. */
export interface Command {
  session_id: string;
  command_id: string;
  command: string;
  params: unknown;
  status: "queued" | "sent" | "delivered" | "succeeded" | "failed" | "timed_out" | "expired" | "cancelled";
  attempt: number;
  created_at: string;
  updated_at: string;
  ends_at: string;
  result?: unknown;
  error?: unknown;
}

/** Open commands and the last finished ones, oldest first. */
export interface Commands {
  session_id: string;
  commands: Command[];
}

/** Sessions by state. */
export interface Counts {
  active: number;
  inactive: number;
  archived: number;
}

/** Histories of data keys. */
export interface Data {
  session_id: string;
  data: Record<string, unknown[][]>;
  kept?: Record<string, Kept> | null;
  setting?: string | null;
  cut?: string[] | null;
}

/** One sample, a line of NDJSON. */
export interface DataLine {
  key: string;
  value: unknown;
  ts: number;
}

/** A command for the device. */
export interface DeviceCommand {
  command_id: string;
  command: string;
  params: unknown;
  attempt: number;
}

/** What is there for a device. */
export interface DeviceCommands {
  rev: number;
  last_seq: number;
  server_time: number;
  setup?: unknown;
  setup_version: number;
  connected?: boolean;
  commands: DeviceCommand[];
}

/** What a device reports: samples in one of three forms or none, results, and what it says of itself. */
export interface DeviceReport {
  key?: string;
  value?: unknown;
  data?: Record<string, unknown>;
  samples?: unknown[][];
  ts?: number | null;
  seq?: number | null;
  stream?: string;
  session_name?: string | null;
  project_id?: string | null;
  meta?: Record<string, unknown> | null;
  reported_version?: number | null;
  expect_every_s?: number | null;
  seen?: string[];
  results?: DeviceResult[];
}

/** The result of a command. */
export interface DeviceResult {
  command_id: string;
  ok: boolean;
  result?: unknown;
  error?: unknown;
}

/** The report was taken. */
export interface DeviceUpdated {
  rev: number;
  last_seq: number;
  server_time: number;
  setup?: unknown;
  setup_version: number;
  connected?: boolean;
  commands: DeviceCommand[];
  duplicate?: boolean;
  results: ResultAnswer[];
}

/** How a device is disconnected. */
export interface Disconnect {
  retry_after_s?: number;
}

/** A device that was disconnected. */
export interface Disconnected {
  session_id: string;
  disconnected: boolean;
  retry_after_s: number;
}

/** An entry of the timeline. */
export interface Event {
  at: string;
  event: string;
  by?: By | null;
}

/** A filter of sessions, as in `GET /sessions`. */
export interface Filter {
  state?: "active" | "inactive" | "all";
  q?: string | null;
  project_id?: string | null;
  node_id?: string | null;
}

/** A background job. */
export interface Job {
  job_id: string;
  name: string;
  arguments: unknown[];
  state: string;
  enqueued_at: string | null;
  started_at: string | null;
  ended_at: string | null;
  retries_left: number;
  worker: string | null;
  result: unknown;
  error: string | null;
}

/** The work continues in a job. */
export interface JobAccepted {
  job_id: string;
  state: string;
}

/** Background jobs by state, newest first; the queue and the sweeps. */
export interface Jobs {
  jobs: Job[];
  counts: Record<string, number>;
  oldest_s: number | null;
  sweeps: Sweep[];
  workers: number;
}

/** How far back the samples of a data key go. */
export interface Kept {
  oldest: number | null;
  samples: number;
  at_most: number;
}

export type MergePatch = unknown;

/** Times and clients of a session. */
export interface Metadata {
  created_at: string | null;
  last_activity: string | null;
  active_clients: number;
}

/** A command for one device. */
export interface NewCommand {
  command: string;
  params?: unknown;
  ttl_s?: number | null;
  wait?: "queued" | "delivered" | "result";
  timeout_s?: number;
}

/** A session to create. */
export interface NewSession {
  session_name?: string;
  project_id?: string;
}

/** A node, as it last reported itself. */
export interface Node {
  node_id: string;
  seen_at: string;
  ready: boolean;
  draining: boolean;
  version?: string | null;
  uptime_s?: number | null;
  connections?: number | null;
  devices?: number | null;
  dashboards?: number | null;
  cpu_percent?: number | null;
  memory_bytes?: number | null;
  memory_available_percent?: number | null;
  backlog_bytes?: number | null;
}

/** The running nodes. */
export interface Nodes {
  nodes: Node[];
}

/** An error: RFC 9457 problem details, with additional fields. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  message: string;
  retryable: boolean;
}

/** A page of files in quarantine, oldest first. */
export interface Quarantine {
  items: QuarantinedFile[];
  next: string | null;
  total: number;
}

/** A file in quarantine. */
export interface QuarantinedFile {
  item: string;
  name: string;
  session_id: string | null;
  reason: string;
  at: string;
  bytes: number;
}

/** The Redis server. */
export interface RedisStats {
  version: string;
  used_memory_bytes: number | null;
  max_memory_bytes: number | null;
}

/** What became of a command whose result was handed in. */
export interface ResultAnswer {
  command_id: string;
  status?: "queued" | "sent" | "delivered" | "succeeded" | "failed" | "timed_out" | "expired" | "cancelled";
  error?: unknown;
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
  created_at: string | null;
  start_time: string | null;
  disconnected_at: string | null;
  disconnect_reason: string | null;
  setup_version: number;
  in_sync: boolean;
  active_clients: number;
  open_commands: number;
  last_activity: string | null;
  expect_every_s: number | null;
  seen_by: "socket" | "http" | null;
  rev: number;
  values?: Record<string, unknown[]> | null;
  generation: number;
  stream: string;
  last_seq: number;
  meta: Record<string, unknown> | null;
  setup: unknown;
  setup_timestamp: string | null;
  reported_version: number;
  undo_available: boolean;
  redo_available: boolean;
  last_ping: string | null;
  last_update: string | null;
  statistics: Statistics;
  timeline: Event[];
  telemetry: Record<string, unknown>;
  data: Record<string, unknown[][]>;
}

/** A short description of a session. */
export interface SessionInfo {
  session_id: string;
  metadata: Metadata;
  project_id: string;
  node_count: number;
  undo_available: boolean;
  redo_available: boolean;
}

/** A page of sessions. */
export interface SessionsPage {
  sessions: Summary[];
  next: string | null;
  total: number | null;
}

/** A setup and its state; the ETag is the version. */
export interface Setup {
  session_id: string;
  setup: unknown;
  setup_version: number;
  setup_timestamp: string | null;
  reported_version: number;
  in_sync: boolean;
  undo_available: boolean;
  redo_available: boolean;
}

/** A setup as it was in one version. */
export interface SetupVersion {
  session_id: string;
  setup: unknown;
  setup_version: number;
}

/** Totals over the whole life of a session. */
export interface Statistics {
  updates: number;
  connects: number;
  connected_s: number;
  bytes_in: number;
  bytes_held: number | null;
}

/** Figures of the whole service. */
export interface Stats {
  sessions: Counts;
  nodes: number;
  connections: number;
  devices: number;
  dashboards: number;
  samples_stored: number;
  workers: number;
  jobs: Record<string, number>;
  redis: RedisStats;
  time: string;
}

/** The samples were stored in Redis. */
export interface Stored {
  session_id: string;
  rev: number;
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
  created_at: string | null;
  start_time: string | null;
  disconnected_at: string | null;
  disconnect_reason: string | null;
  setup_version: number;
  in_sync: boolean;
  active_clients: number;
  open_commands: number;
  last_activity: string | null;
  expect_every_s: number | null;
  seen_by: "socket" | "http" | null;
  rev: number;
  values?: Record<string, unknown[]> | null;
}

/** Work that workers do again and again. */
export interface Sweep {
  sweep: string;
  every_s: number;
  ran_s_ago: number | null;
  late: boolean;
}

/** Values by data key. */
export interface Telemetry {
  telemetry: Record<string, unknown>;
}

/** Lifecycle events, oldest first. */
export interface Timeline {
  session_id: string;
  timeline: Event[];
}

/** The file to move back from quarantine. */
export interface UnquarantineRequest {
  item: string;
}

/** A file that was moved back from quarantine. */
export interface Unquarantined {
  item: string;
  name: string;
  session_id: string;
  is_archived: boolean;
}

/** The result of a check of the archive. */
export interface Verification {
  checked: number;
  bad: number;
  unreadable: number;
  beside: number;
  wrong: WrongFile[];
}

/** A complete setup. */
export interface WholeSetup {
  setup: unknown;
}

/** An archive file whose content does not match its name, or that could not be read. */
export interface WrongFile {
  name: string;
  session_id: string | null;
  reason: string;
  unreadable: boolean;
}
