// Operators: commands, setups, histories and the archive, over REST.
import { Refused } from "./errors.js";
import type { Parse } from "./packets.js";
import { inPath, Rest } from "./rest.js";
import type { Alarms, Batch, BatchDevice, Command, Data, Disconnected, Filter, JobAccepted, Session, Summary } from "./rest_types.js";
import { Sleeper } from "./time.js";
import type { Token } from "./tokens.js";

/** Devices of a bulk command per request: as many as the service gives. */
const MOST_DEVICES = 500;

export interface OperatorOptions {
  token?: Token;
  /** Of a request that waits for nothing; 30 if left out. */
  timeoutS?: number;
  /** How often a request is repeated that can be repeated without harm; 3 if left out. */
  retries?: number;
  /** Reads the JSON of answers, instead of `JSON.parse`, which rounds integers beyond 2^53. */
  parse?: Parse;
}

/** Which sessions a list has; docs/api.md describes them. */
export interface SessionFilters {
  state?: "active" | "inactive" | "archived" | "all";
  /** Prefix of the id or the name. */
  q?: string;
  projectId?: string;
  nodeId?: string;
  /** Of a page: 1 to 500. */
  limit?: number;
  /** Up to 20 data keys: each session then has `values`, its latest samples of these. */
  values?: readonly string[];
}

/** Which points of a series. */
export interface SeriesOptions {
  /** Only samples at or after this time, seconds since 1970. */
  since?: number;
  /** Only samples before this time. */
  until?: number;
  /** Length of an interval, seconds. */
  step: number;
  /** What a point says of its interval; "avg" if left out. */
  agg?: "avg" | "min" | "max" | "last" | "count";
}

export interface SessionsPage {
  sessions: Summary[];
  /** `cursor` of the next page; null: this is the last one. */
  next: string | null;
  total: number | null;
}

export interface CommandOptions {
  /** Which step is waited for; "queued" if left out. */
  wait?: "queued" | "delivered" | "result";
  /** For how long, 30 if left out; then the error is `command_timeout`, and the command stays open. */
  timeoutS?: number;
  /** How long the command may take in all; left out: the service's setting. */
  ttlS?: number;
  idempotencyKey?: string;
}

export interface BulkTarget {
  /** To these; or */
  sessionIds?: readonly string[];
  /** to all that fit, `{}` being everybody. */
  filter?: Filter;
  ttlS?: number;
}

export type Sample = readonly [value: unknown, ts: number];

/** The service waits so long for a job, and then says which one it is. */
const JOB_S = 30;

/** Statuses of a command that has not ended. */
const OPEN = ["waiting", "queued", "sent", "delivered"];

/** Steers a fleet. */
export class Operator {
  readonly #rest: Rest;
  readonly #jobTimeoutS: number;

  constructor(url: string, { token, timeoutS = 30, retries = 3, parse }: OperatorOptions = {}) {
    this.#jobTimeoutS = JOB_S + timeoutS;
    this.#rest = new Rest(url, token, timeoutS, retries, parse);
  }

  /** Return a page of sessions. */
  page(filters: SessionFilters = {}, cursor?: string | null): Promise<SessionsPage> {
    const { state, q, projectId, nodeId, limit, values } = filters;
    const query = { state, q, project_id: projectId, node_id: nodeId, limit, values, cursor };
    return this.#get("/sessions", query);
  }

  /** Iterate sessions, page by page. */
  async *sessions(filters: SessionFilters = {}): AsyncGenerator<Summary, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const { sessions, next } = await this.page(filters, cursor);
      yield* sessions;
      cursor = next;
    } while (cursor);
  }

  /** Return a session with all its data, wherever it is. */
  session(sessionId: string): Promise<Session> {
    return this.#get(`/sessions/${inPath(sessionId)}`);
  }

  /** Return the samples of a data key, oldest first; `limit`: the newest so many, `since`: from then on. */
  async history(
    sessionId: string,
    key: string,
    { limit, since }: { limit?: number; since?: number } = {},
  ): Promise<Sample[]> {
    const path = `/sessions/${inPath(sessionId)}/data/${inPath(key)}`;
    const { data } = await this.#get<{ data: Record<string, Sample[]> }>(path, { limit, since });
    return data[key] ?? [];
  }

  /** Return one point per interval of up to 20 data keys, by time, and how far back the samples go. */
  series(sessionId: string, keys: readonly string[], { since, until, step, agg }: SeriesOptions): Promise<Data> {
    return this.#get(`/sessions/${inPath(sessionId)}/data`, { keys, since, until, step, agg });
  }

  /** Delete a session everywhere; its device is disconnected. */
  async delete(sessionId: string): Promise<void> {
    const path = `/sessions/${inPath(sessionId)}`;
    await this.#rest.ask({ method: "DELETE", path, doneCode: "session_not_found" });
  }

  /** Disconnect a session's device; its id is refused for `retryAfterS`, 60 if left out. */
  disconnect(sessionId: string, { retryAfterS }: { retryAfterS?: number } = {}): Promise<Disconnected> {
    const body = retryAfterS === undefined ? {} : { retry_after_s: retryAfterS };
    return this.#rest.ask({ method: "POST", path: `/sessions/${inPath(sessionId)}/disconnect`, body });
  }

  /** Move a session to the archive now; return its summary, or after 30 s the job that does it. */
  archive(sessionId: string): Promise<Summary | JobAccepted> {
    return this.#job(`/sessions/${inPath(sessionId)}/archive`);
  }

  #job(path: string): Promise<Summary | JobAccepted> {
    return this.#rest.ask({ method: "POST", path, timeoutS: this.#jobTimeoutS });
  }

  /** Bring a session back from the archive; return as `archive` does. */
  restore(sessionId: string): Promise<Summary | JobAccepted> {
    return this.#job(`/sessions/${inPath(sessionId)}/restore`);
  }

  /** Return a setup and its version. */
  async setup(sessionId: string): Promise<{ setup: unknown; version: number }> {
    const path = `/sessions/${inPath(sessionId)}/setup`;
    const found = await this.#get<{ setup: unknown; setup_version: number }>(path);
    return { setup: found.setup, version: found.setup_version };
  }

  /**
   * Replace a setup; return its new version. With `version`, it has to be the present one.
   * @throws Conflict: it is not; the error has the present version. NotConnected: whether it was replaced is
   * not known.
   */
  putSetup(sessionId: string, setup: unknown, options: { version?: number } = {}): Promise<number> {
    return this.#change("PUT", sessionId, { setup }, options.version);
  }

  /** Change a setup by a merge patch (RFC 7396); otherwise as `putSetup`. */
  patchSetup(
    sessionId: string,
    patch: Readonly<Record<string, unknown>>,
    options: { version?: number } = {},
  ): Promise<number> {
    return this.#change("PATCH", sessionId, patch, options.version);
  }

  async #change(method: string, sessionId: string, body: unknown, version: number | undefined): Promise<number> {
    const path = `/sessions/${inPath(sessionId)}/setup`;
    const headers: Record<string, string> = version === undefined ? {} : { "If-Match": `"${version}"` };
    const done = await this.#rest.ask<{ setup_version: number }>({ method, path, body, headers, isRepeatable: false });
    return done.setup_version;
  }

  /**
   * Send a command to a device; return `{command_id, status, result?, error?}`.
   *
   * The request has an idempotency key, so it is repeated without harm when its answer is lost.
   */
  sendCommand(
    sessionId: string,
    command: string,
    params: unknown = null,
    { wait = "queued", timeoutS = 30, ttlS, idempotencyKey = newKey() }: CommandOptions = {},
  ): Promise<Command> {
    return this.#rest.ask({
      method: "POST",
      path: `/sessions/${inPath(sessionId)}/commands`,
      body: { command, params, wait, timeout_s: timeoutS, ...(ttlS === undefined ? {} : { ttl_s: ttlS }) },
      headers: { "Idempotency-Key": idempotencyKey },
      timeoutS: timeoutS + 30,
    });
  }

  /** Return a command as it stands. */
  command(sessionId: string, commandId: string): Promise<Command> {
    return this.#get(`/sessions/${inPath(sessionId)}/commands/${inPath(commandId)}`);
  }

  /** Return open commands and the last finished ones, oldest first. */
  async commands(sessionId: string): Promise<Command[]> {
    const found = await this.#get<{ commands: Command[] }>(`/sessions/${inPath(sessionId)}/commands`);
    return found.commands;
  }

  /**
   * Cancel a command that has not ended.
   * @throws Refused: `conflict`: it has ended; `command_not_found`.
   */
  async cancel(sessionId: string, commandId: string): Promise<void> {
    const path = `/sessions/${inPath(sessionId)}/commands/${inPath(commandId)}`;
    const done = await this.#rest.ask<unknown>({ method: "DELETE", path, doneCode: "conflict" });
    if (done !== undefined) return;
    const { status } = await this.command(sessionId, commandId);
    if (status !== "cancelled") throw new Refused({ code: "conflict", message: "The command has already ended." });
  }

  /** Send a command to many devices; return the id of the batch, for `bulk`. */
  async sendBulk(command: string, params: unknown, { sessionIds, filter, ttlS }: BulkTarget): Promise<string> {
    const body = {
      command,
      params,
      ...(sessionIds === undefined ? {} : { session_ids: sessionIds }),
      ...(filter === undefined ? {} : { filter }),
      ...(ttlS === undefined ? {} : { ttl_s: ttlS }),
    };
    const headers = { "Idempotency-Key": newKey() };
    const made = await this.#rest.ask<{ batch_id: string }>({ method: "POST", path: "/commands", body, headers });
    return made.batch_id;
  }

  /** Return the state of a bulk command: `{state, statuses, …}`. */
  bulk(batchId: string): Promise<Batch> {
    return this.#get(`/commands/${inPath(batchId)}`, { limit: 1 });
  }

  /** Iterate what became of a bulk command, device by device. */
  async *bulkDevices(batchId: string): AsyncGenerator<BatchDevice, void, undefined> {
    let cursor: string | null | undefined;
    do {
      const page = await this.#get<Batch>(`/commands/${inPath(batchId)}`, { cursor, limit: MOST_DEVICES });
      yield* page.devices;
      cursor = page.next;
    } while (cursor);
  }

  /** Wait until no device has an open command; return the state then, or after `timeoutS`. */
  async waitForBulk(batchId: string, timeoutS: number, everyS = 0.5): Promise<Batch> {
    const until = performance.now() + timeoutS * 1000;
    for (;;) {
      const batch = await this.bulk(batchId);
      const isOpen = batch.state !== "done" || OPEN.some((status) => (batch.statuses[status] ?? 0) > 0);
      if (!isOpen || performance.now() > until) return batch;
      await new Sleeper().sleep(everyS);
    }
  }

  /** Return active alarms, and past ones. */
  alarms(): Promise<Alarms> {
    return this.#get("/alarms");
  }

  #get<T>(path: string, query: Record<string, string | number | readonly string[] | null | undefined> = {}): Promise<T> {
    return this.#rest.ask({ method: "GET", path, query });
  }
}

function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
