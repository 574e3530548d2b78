// A live map of sessions: a snapshot, then every change, over reconnects to any node.
import { Connector, type ConnectOptions } from "../connector.js";
import { NotConnected, Refused, seconds, words } from "../errors.js";
import type { CommandUpdate, Counts, SampleUpdates, SessionsUpdate, Snapshot, Summary } from "../event_types.js";
import type { Socket } from "../socket.js";
import { tell } from "../tell.js";
import { Backoff, Signal, Sleeper, Timer } from "../time.js";
import { ChangeQueue, type Change, type FleetState, type SampleRow } from "./changes.js";
import { nextFrame, type Schedule } from "./frames.js";
import { Joins } from "./joins.js";
import { LiveShards, sameIfEqual } from "./sessions.js";

/** What is watched; later versions of the service may know more. */
export type Scope =
  | "fleet"
  | { readonly sessions: readonly string[] }
  | { readonly project_id: string }
  | { readonly [field: string]: unknown };

export interface FleetOptions extends ConnectOptions {
  /** "fleet" if left out. */
  scope?: Scope;
  /** `latest`: of each key the newest in `intervalMs`; "all" if left out. */
  samples?: "none" | "latest" | "all";
  /** Only samples of these data keys; the summaries of a snapshot have their latest values. */
  values?: readonly string[];
  /** Least time between batches of samples; the service's own if left out. */
  intervalMs?: number;
  /** Whether `intervalMs` is for a busy service only: one that has little to do sends each change at once. */
  prompt?: boolean;
  /** When subscribers are called; left out: with the next frame of a page, elsewhere at once behind each message. */
  schedule?: Schedule;
}

/** The fleet as subscribers were told of it; it never changes, and what did not change is the same object. */
export interface FleetSnapshot {
  readonly state: FleetState;
  readonly sessions: ReadonlyMap<string, Summary>;
  /** Sessions of the scope by state; undefined: not known yet. */
  readonly counts: Counts | undefined;
  /** While the state is `stale`: when it was certainly current, as `Date.now`. */
  readonly staleSince: number | undefined;
}

export type FleetListener = (changes: readonly Change[]) => unknown;

const QUEUE_LIMIT = 10_000;

/** Watches a scope; `start` it. */
export class Fleet {
  readonly #connector: Connector;
  readonly #options: FleetOptions;
  readonly #sessions = new LiveShards<Summary>();
  #counts: Counts | undefined;
  #state: FleetState = "connecting";
  #isConflated = false;
  #staleSince: number | undefined;
  #cursor: string | undefined;
  #socket: Socket | undefined;
  #early: [event: string, payload: unknown][] | undefined;
  #again = new Signal();
  #afterS: number | undefined;
  readonly #sleeper = new Sleeper();
  #running: Promise<void> | undefined;
  #hasEnded = false;
  #error: Error | undefined;
  readonly #listeners = new Set<FleetListener>();
  readonly #queues = new Set<ChangeQueue>();
  readonly #joins = new Joins();
  readonly #waiting = new Set<(error?: Error) => void>(); // for the snapshot
  #untold: Change[] = [];
  #isScheduled = false;
  #snapshot: FleetSnapshot | undefined;

  constructor(urls: string | readonly string[], options: FleetOptions = {}) {
    this.#connector = new Connector(urls, options);
    this.#options = options;
  }

  /** The sessions as they are now, by id; their order has no meaning. */
  get sessions(): ReadonlyMap<string, Summary> {
    return this.#sessions;
  }

  get state(): FleetState {
    return this.#state;
  }

  /** While the state is `stale`: when it was certainly current, as `Date.now`. */
  get staleSince(): number | undefined {
    return this.#staleSince;
  }

  /** Sessions of the scope by state; undefined: not known yet. */
  get counts(): Counts | undefined {
    return this.#counts;
  }

  /** Addresses of the service, that of this connection first; that of the next one, where there is none. */
  get urls(): readonly string[] {
    return this.#connector.urls;
  }

  /** Begin to connect and to watch. */
  start(): this {
    this.#running ??= this.#run();
    return this;
  }

  /** Disconnect, for good. */
  async stop(): Promise<void> {
    if (!this.#hasEnded) this.#end(undefined);
    await this.#running;
  }

  /**
   * Call `listener` with all changes since its last call, in batches; return what ends that.
   * It is bound, so that `useSyncExternalStore(fleet.subscribe, fleet.getSnapshot)` works.
   */
  readonly subscribe = (listener: FleetListener): (() => void) => {
    const one: FleetListener = (changes) => listener(changes); // the same function may subscribe twice
    this.#listeners.add(one);
    return () => void this.#listeners.delete(one);
  };

  /** Return the fleet as subscribers were told of it: the same object until they are told of a change. */
  readonly getSnapshot = (): FleetSnapshot => {
    this.#snapshot ??= {
      state: this.#state, sessions: this.#sessions.copy(), counts: this.#counts, staleSince: this.#staleSince,
    };
    return this.#snapshot;
  };

  /** Be counted among the clients of a session, over reconnects; a session with clients is not archived. */
  join(sessionId: string): void {
    this.#joins.add(sessionId);
  }

  /** Be no client of a session any more; resolved when the service knows it. */
  leave(sessionId: string): Promise<void> {
    return this.#joins.delete(sessionId);
  }

  /**
   * Iterate every change from now on, until the fleet is stopped. A reader that is more than `limit` samples and
   * other changes behind gets the latest of what these have overtaken: the latest sample of each key, with
   * `isConflated`.
   * @throws Refused: the service refuses this client for good.
   */
  changes({ limit = QUEUE_LIMIT } = {}): AsyncIterableIterator<Change, undefined> {
    const queue = new ChangeQueue(limit, (one) => this.#queues.delete(one));
    if (this.#hasEnded) queue.end(this.#error);
    else this.#queues.add(queue);
    return queue;
  }

  /**
   * Wait for the snapshot.
   * @throws Refused: the service refuses this client for good. NotConnected: it did not come in time.
   */
  waitLive(timeoutS = Infinity): Promise<void> {
    if (["live", "conflated", "stale"].includes(this.#state)) return Promise.resolve();
    if (this.#hasEnded) return Promise.reject(this.#error ?? new NotConnected("stopped"));
    return new Promise((resolve, reject) => {
      const late = (): void => done(new NotConnected(`no snapshot within ${timeoutS} s`));
      const timer = Number.isFinite(timeoutS) ? new Timer(timeoutS, late) : undefined;
      const done = (error?: Error): void => {
        timer?.stop();
        this.#waiting.delete(done);
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#waiting.add(done);
    });
  }

  #tell(change: Change): void {
    for (const queue of this.#queues) queue.push(change);
    if (this.#listeners.size > 0) this.#untold.push(change);
    this.#publish();
  }

  /** Call the subscribers soon, with what they were not told. */
  #publish(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    (this.#options.schedule ?? nextFrame)(() => {
      this.#isScheduled = false;
      if (!this.#isCurrent(this.#snapshot)) this.#snapshot = undefined;
      const changes = this.#untold;
      this.#untold = [];
      for (const listener of this.#listeners) tell(listener, changes);
    });
  }

  #isCurrent(snapshot: FleetSnapshot | undefined): boolean {
    if (snapshot?.state !== this.#state || snapshot.staleSince !== this.#staleSince) return false;
    return snapshot.counts === this.#counts && this.#sessions.isCurrent(snapshot.sessions);
  }

  /** Take whether what comes is current; a service of before does not say it. */
  #noteFreshness({ stale, behind_s: behindS }: { stale?: unknown; behind_s?: unknown }): void {
    this.#staleSince = stale === true ? Date.now() - (seconds(behindS) ?? 0) * 1000 : undefined;
    this.#flow();
  }

  /** Be in the state that the connection is in while changes come. */
  #flow(): void {
    if (this.#staleSince !== undefined) this.#setState("stale");
    else this.#setState(this.#isConflated ? "conflated" : "live");
  }

  #setState(state: FleetState): void {
    if (state !== "stale") this.#staleSince = undefined;
    if (state === this.#state) return;
    this.#state = state;
    this.#tell({ kind: "state", state });
  }

  async #run(): Promise<void> {
    const backoff = new Backoff();
    while (!this.#hasEnded) {
      this.#afterS = undefined;
      try {
        await this.#connectAndWatch(backoff);
      } catch (error) {
        if (error instanceof Refused) {
          const hasHope = error.retryable || (error.code === "not_authenticated" && this.#hasTokenFunction());
          if (!hasHope) this.#end(error);
          this.#afterS = error.retryAfterS;
        } else if (!(error instanceof NotConnected)) {
          // An answer that is not understood; another node may answer better.
          console.warn(`muster-client: the fleet's connection is made anew: ${words(error)}`);
          this.#cursor = undefined;
        }
      }
      if (this.#hasEnded) return;
      this.#setState("offline");
      this.#connector.next();
      const delayS = backoff.nextS();
      if (!this.#hasEnded) await this.#sleeper.sleep(this.#afterS ?? delayS); // who is told may stop it
    }
  }

  #hasTokenFunction(): boolean {
    return typeof this.#options.token === "function";
  }

  #end(error: Error | undefined): void {
    this.#error = error;
    this.#hasEnded = true;
    this.#setState("offline");
    this.#socket?.close("stopped");
    this.#sleeper.wake();
    for (const done of this.#waiting) done(error ?? new NotConnected("stopped"));
    for (const queue of this.#queues) queue.end(error);
    this.#queues.clear();
  }

  async #connectAndWatch(backoff: Backoff): Promise<void> {
    const { socket } = await this.#connector.connect((event, payload) => this.#event(event, payload));
    this.#socket = socket;
    if (this.#hasEnded) socket.close("stopped");
    void socket.closed.then(() => this.#again.resolve());
    try {
      while (socket.reason === undefined) {
        this.#again = new Signal();
        await this.#watch(socket);
        backoff.succeeded();
        this.#joins.connected(socket);
        if (socket.reason === undefined) await this.#again.promise;
      }
    } finally {
      this.#joins.connected(undefined);
      this.#socket = undefined;
      this.#early = undefined;
      socket.close("left");
    }
  }

  /** Return what is asked for; a service of before does not know each field, so none is sent without need. */
  #wanted(): Record<string, unknown> {
    const { scope = "fleet", samples, values, intervalMs, prompt } = this.#options;
    return {
      scope,
      batch: true,
      ...(samples === undefined || samples === "all" ? {} : { samples }),
      ...(values === undefined ? {} : { values }),
      ...(intervalMs === undefined ? {} : { interval_ms: intervalMs }),
      ...(prompt === true ? { prompt } : {}),
    };
  }

  async #watch(socket: Socket): Promise<void> {
    this.#early = [];
    let request = this.#wanted();
    if (this.#cursor !== undefined) {
      request["cursor"] = this.#cursor;
      this.#setState("resyncing");
    }
    const found = new Map<string, Summary>();
    let answer: Snapshot;
    for (;;) {
      answer = await socket.call<Snapshot>("register_vue", request);
      for (const one of [...answer.active, ...answer.inactive]) found.set(one.session_id, one);
      this.#counts = sameIfEqual(this.#counts, answer.counts); // who watches may find that there are too many
      if (!answer.next) break;
      this.#publish();
      request = { page: answer.next };
    }
    this.#connector.learn(answer.nodes);
    this.#cursor = answer.cursor ?? undefined;
    if (!answer.recovered) {
      for (const id of [...this.#sessions.keys()]) if (!found.has(id)) this.#sessions.delete(id);
      for (const [id, one] of found) this.#keep(id, one);
        this.#tell({ kind: "reset" });
    }
    this.#isConflated = false;
    this.#noteFreshness(answer);
    for (const done of this.#waiting) done();
    const early = this.#early;
    this.#early = undefined;
    for (const [event, payload] of early) this.#event(event, payload);
  }

  #event(event: string, payload: unknown): void {
    if (typeof payload !== "object" || payload === null) return;
    if (this.#early !== undefined && event !== "draining") {
      this.#early.push([event, payload]);
      return;
    }
    try {
      this.#take(event, payload);
    } catch (error) {
      // The map may lack a change now: begin anew.
      this.#cursor = undefined;
      this.#socket?.close(`the event ${event} is not understood: ${words(error)}`);
    }
  }

  #take(event: string, payload: object): void {
    if (event === "sessions_update") {
      this.#update(payload as SessionsUpdate);
    } else if (event === "session_data_updates") {
      this.#samples(payload as SampleUpdates);
    } else if (event === "command_update") {
      const command = payload as CommandUpdate;
      this.#tell({ kind: "command", sessionId: command.session_id, command });
    } else if (event === "feed_state") {
      this.#noteFreshness(payload);
    } else if (event === "nodes") {
      this.#connector.learn((payload as { nodes?: unknown }).nodes);
      this.#publish();
    } else if (event === "resync") {
      this.#cursor = undefined;
      this.#setState("resyncing");
      this.#again.resolve();
      return;
    } else if (event === "draining") {
      this.#afterS = seconds((payload as { reconnect_after_s?: unknown }).reconnect_after_s);
      this.#socket?.close(event);
      return;
    }
    const { cursor } = payload as { cursor?: unknown };
    if (typeof cursor === "string") this.#cursor = cursor;
  }

  #update(update: SessionsUpdate): void {
    this.#counts = sameIfEqual(this.#counts, update.counts);
    if (update.removed.length + update.changed.length === 0) this.#publish();
    for (const sessionId of update.removed) {
      this.#joins.removed(sessionId);
      if (!this.#sessions.delete(sessionId)) continue;
        this.#tell({ kind: "removed", sessionId });
    }
    for (const summary of update.changed) {
      this.#keep(summary.session_id, summary);
      this.#joins.changed(summary.session_id);
        this.#tell({ kind: "changed", sessionId: summary.session_id, summary });
    }
  }

  #keep(id: string, found: Summary): void {
    const known = this.#sessions.get(id);
    const kept = sameIfEqual(known, found);
    if (kept !== known) this.#sessions.set(id, kept);
  }

  #samples(update: SampleUpdates): void {
    const isConflated = update.conflated === true;
    this.#isConflated = isConflated;
    this.#flow();
    for (const [sessionId, rev, samples] of update.updates as [string, number, SampleRow[]][]) {
      this.#tell({ kind: "samples", sessionId, rev, samples, isConflated });
    }
  }
}
