// A device: what it sends is stored exactly once, whatever nodes and networks do.
import { openStorage } from "#platform";
import { Connector, type ConnectOptions } from "../connector.js";
import { NotConnected, Refused, seconds, words, type ErrorBody } from "../errors.js";
import type { Registered } from "../event_types.js";
import type { Answer, Reply, Socket } from "../socket.js";
import { tell } from "../tell.js";
import { Backoff, Signal, Sleeper, Timer } from "../time.js";
import { renewBeforeEnd } from "../tokens.js";
import { Buffer, type Bounds } from "./buffer.js";
import { Commands, type CommandHandler } from "./commands.js";
import { checkSamples, type Json } from "./samples.js";
import { payload, Sender, type Meaning, type Update } from "./sender.js";
import { Setups, type SetupHandler } from "./setups.js";

export type DeviceState = "connecting" | "online" | "offline" | "ended";

export interface DeviceOptions extends ConnectOptions {
  /** Shown in lists. */
  name?: string;
  /** The group it belongs to. */
  projectId?: string;
  /** Anything about the device. */
  meta?: Readonly<Record<string, Json>>;
  /** Keeps what is not acked over restarts: a file in Node.js, a database in a page. Left out: memory. */
  buffer?: string;
  bounds?: Bounds;
  /** A sample survives a power cut this much later at most (with a buffer); 1 if left out. */
  syncS?: number;
  /** Whether times of measurement are corrected where this clock is wrong; true if left out. */
  correctClock?: boolean;
  /** Gets how many samples were dropped because the buffer was full. */
  onDrop?: (count: number) => unknown;
  /** Gets key and error of a sample that the service will never take. */
  onRefused?: (key: string, error: ErrorBody) => unknown;
  /** Gets the state, and why. */
  onState?: (state: DeviceState, why: string) => unknown;
  /** Gets what a person should read, such as that samples may be stored twice. */
  onWarning?: (message: string) => unknown;
}

/** No answer to any update for this long although the connection lives: connect again. */
const ANSWER_S = 30;
/** Clocks that differ by less are left alone. */
const CLOCK_SLACK_S = 1;
/** From an answer that says so to the next connection. */
const LOST_PAUSE_S = 1;
/** Longest pause between two attempts with a token that is refused. */
const TOKEN_PAUSE_S = 300;
/** Refusals that end a device with a fixed token. */
const FATAL = new Set(["not_authenticated", "not_allowed", "invalid_request", "too_large"]);

/** A device; `open` it, `start` it, then `send`. */
export class Device {
  /** The id of its session. */
  readonly deviceId: string;
  state: DeviceState = "offline";
  /** Why it is offline or has ended. */
  why = "";
  readonly #connector: Connector;
  readonly #options: DeviceOptions;
  readonly #buffer: Buffer;
  readonly #commands: Commands;
  readonly #setups: Setups;
  readonly #sleeper = new Sleeper();
  readonly #flushing = new Set<(isStored: boolean) => void>();
  #sender: Sender;
  #mustReload = false; // what the sender holds is not what the buffer holds
  #socket: Socket | undefined;
  #shiftS = 0;
  #serverAheadS = 0; // of this clock, however wrong it is: tokens end by the service's
  #wake = new Signal();
  #resumeAt = 0; // send nothing before, on the clock of `performance`
  #reconnectAfterS: number | undefined;
  #tokenPauseS = 0;
  #late: Timer | undefined;
  #isStarted = false;
  #running: Promise<void> = Promise.resolve();
  #syncing: ReturnType<typeof setInterval> | undefined;

  /**
   * Open a device with its buffer; it connects when it is started.
   * @throws BufferInUse: another process, tab or device has the buffer. BadBuffer: it cannot be read.
   */
  static async open(urls: string | readonly string[], deviceId: string, options: DeviceOptions = {}): Promise<Device> {
    const connector = new Connector(urls, options);
    if (options.buffer === undefined) return new Device(connector, deviceId, options, new Buffer(options.bounds));
    const { storage, kept } = await openStorage(options.buffer);
    return new Device(connector, deviceId, options, new Buffer(options.bounds, storage, kept));
  }

  private constructor(connector: Connector, deviceId: string, options: DeviceOptions, buffer: Buffer) {
    this.deviceId = deviceId;
    this.#connector = connector;
    this.#options = options;
    this.#buffer = buffer;
    this.#sender = new Sender(buffer);
    const ask = (event: string, given: unknown): Promise<Answer> =>
      this.#socket?.ask(event, given) ?? Promise.reject(new NotConnected("offline"));
    this.#commands = new Commands(buffer, ask);
    this.#setups = new Setups(deviceId, ask);
  }

  /**
   * Carry out commands of this name, in order and each once. What the handler returns, or its promise, is the
   * result; what it throws is the failure. One that was interrupted by the end of the program is reported as
   * failed, unless it is `repeatable`.
   */
  command(name: string, handler: CommandHandler, { repeatable = false } = {}): this {
    this.#commands.add(name, handler, repeatable);
    return this;
  }

  /** Apply setups; when the handler has not failed, the version is reported as running. */
  onSetup(handler: SetupHandler): this {
    this.#setups.handler = handler;
    return this;
  }

  /** Begin to connect and to send. */
  start(): this {
    if (this.#isStarted || this.state === "ended") return this;
    this.#isStarted = true;
    this.#running = this.#run();
    if (this.#options.buffer !== undefined) {
      this.#syncing = setInterval(() => void this.#sync(), 1000 * (this.#options.syncS ?? 1));
    }
    return this;
  }

  /**
   * Send a value for each key, measured at one moment (`ts`, seconds since 1970; left out: now); needs no
   * connection. With a file the sample is with the operating system when this returns; in a page it is in the
   * database when the promise is resolved.
   * @throws InvalidSample: the service would never take it. BadBuffer: the buffer did not, such as on a full disk.
   */
  send(values: Readonly<Record<string, unknown>>, { ts = Date.now() / 1000 } = {}): Promise<void> {
    const added = this.#buffer.add(checkSamples(values, ts));
    if (typeof added !== "number") return added.then((dropped) => this.#added(dropped));
    this.#added(added);
    return Promise.resolve();
  }

  #added(dropped: number): void {
    this.#wake.resolve();
    if (dropped > 0) {
      const warn = (count: number): void =>
        this.#warn(`the buffer is full: the oldest ${count} samples were dropped`);
      tell(this.#options.onDrop ?? warn, dropped);
    }
  }

  /** How many samples are not known to be stored. */
  get unacked(): number {
    return this.#buffer.length;
  }

  /** Wait until everything that was sent is stored; false: it is not after `timeoutS`, or the device has ended. */
  flush(timeoutS = Infinity): Promise<boolean> {
    if (this.#buffer.length === 0) return Promise.resolve(true);
    if (this.state === "ended") return Promise.resolve(false);
    return new Promise((resolve) => {
      const timer = Number.isFinite(timeoutS) ? new Timer(timeoutS, () => done(false)) : undefined;
      const done = (isStored: boolean): void => {
        timer?.stop();
        this.#flushing.delete(done);
        resolve(isStored);
      };
      this.#flushing.add(done);
    });
  }

  /** Disconnect; what is not acked stays in a buffer. A handler that runs now is not waited for. */
  async stop(): Promise<void> {
    this.#end("stopped");
    clearInterval(this.#syncing);
    await this.#running;
    await this.#buffer.close();
  }

  #warn(message: string): void {
    tell(this.#options.onWarning ?? console.warn, `muster-client: ${this.deviceId}: ${message}`);
  }

  #setState(state: DeviceState, why: string): void {
    if (this.#isEnded() || (state === this.state && why === this.why)) return; // an end is final
    this.state = state;
    this.why = why;
    if (this.#options.onState !== undefined) tell(this.#options.onState, state, why);
  }

  #end(why: string): void {
    if (this.state === "ended") return;
    this.#commands.stop();
    this.#setState("ended", why);
    this.#socket?.close(why);
    this.#sleeper.wake();
    for (const done of this.#flushing) done(false);
  }

  #isEnded(): boolean {
    return this.state === "ended";
  }

  async #sync(): Promise<void> {
    try {
      if (this.#buffer.isUnsynced) await this.#buffer.sync();
    } catch (error) {
      this.#warn(`the buffer could not be written to the disk: ${words(error)}`);
    }
  }

  async #run(): Promise<void> {
    const backoff = new Backoff();
    await this.#commands.resume();
    while (!this.#isEnded()) {
      this.#setState("connecting", this.why);
      let why = "";
      try {
        why = await this.#connectAndStay(backoff);
      } catch (error) {
        why = words(error);
        if (error instanceof Refused) this.#refused(error);
        else if (!(error instanceof NotConnected)) this.#mustReload = true; // such as a full disk: it may have room again
      }
      if (this.#isEnded()) return;
      this.#setState("offline", why);
      const delayS = this.#reconnectAfterS ?? backoff.nextS();
      this.#reconnectAfterS = undefined;
      this.#connector.next();
      if (!this.#isEnded()) await this.#sleeper.sleep(delayS); // who is told of the state may stop it
    }
  }

  /** Decide what a refused connect or `register` means. */
  #refused(error: Refused): void {
    if (error.code === "stale_generation") {
      this.#end("superseded");
    } else if (error.retryable) {
      this.#reconnectAfterS = error.retryAfterS;
    } else if (typeof this.#options.token === "function") {
      // It is asked once at once, then ever more seldom: it may give another token some day.
      this.#reconnectAfterS = this.#tokenPauseS;
      this.#tokenPauseS = Math.min(TOKEN_PAUSE_S, Math.max(1, 2 * this.#tokenPauseS));
    } else if (FATAL.has(error.code)) {
      this.#end(error.message);
    }
  }

  /** Return why the connection ended. */
  async #connectAndStay(backoff: Backoff): Promise<string> {
    if (this.#mustReload) {
      this.#sender = new Sender(this.#buffer);
      this.#mustReload = false;
    }
    const onEvent = (event: string, given: unknown, reply: Reply | undefined): void => this.#event(event, given, reply);
    const { socket, token } = await this.#connector.connect(onEvent);
    if (this.#isEnded()) {
      socket.close("ended");
      return "";
    }
    this.#socket = socket;
    let renewal: Timer | undefined;
    try {
      const registration = await this.#register(socket);
      if (this.#isEnded()) return ""; // such as by who waited for what this register settled
      backoff.succeeded();
      this.#tokenPauseS = 0;
      this.#noteClock(registration.server_time);
      renewal = renewBeforeEnd(this.#options.token, token, this.#serverAheadS, () => {
        this.#reconnectAfterS = 0;
        socket.close("the token ends soon");
      });
      this.#setState("online", this.#connector.url);
      this.#setups.registered(registration.setup, registration.setup_version);
      this.#commands.connected();
      await this.#sendUntilClosed(socket);
      return socket.reason ?? "";
    } finally {
      renewal?.stop();
      this.#late?.stop();
      this.#late = undefined;
      this.#sender.lost();
      this.#socket = undefined;
      socket.close("left");
    }
  }

  async #register(socket: Socket): Promise<Registered> {
    const { name, projectId, meta } = this.#options;
    for (;;) {
      const answer = await socket.call<Registered>("register", {
        device_id: this.deviceId,
        stream: this.#buffer.stream,
        ...(name === undefined ? {} : { session_name: name }),
        ...(projectId === undefined ? {} : { project_id: projectId }),
        ...(meta === undefined ? {} : { meta }),
      });
      if (answer.last_seq > this.#buffer.highest) {
        this.#warn("the service knows more of this device than its buffer: some samples may be stored twice");
      }
      const mustChange = this.#sender.registered(answer.last_seq);
      this.#noteEmpty();
      if (!mustChange) return answer;
    }
  }

  #noteClock(serverTime: number): void {
    const aheadS = (this.#serverAheadS = serverTime - Date.now() / 1000);
    const isWrong = this.#options.correctClock !== false && Math.abs(aheadS) > CLOCK_SLACK_S;
    this.#shiftS = isWrong ? aheadS : 0;
  }

  async #sendUntilClosed(socket: Socket): Promise<void> {
    void socket.closed.then(() => this.#wake.resolve());
    while (socket.reason === undefined) {
      this.#wake = new Signal();
      if (performance.now() >= this.#resumeAt) {
        this.#sender.prepare();
        if (!this.#buffer.areNumbersKept) await this.#buffer.keepNumbers();
        for (const update of this.#sender.take()) this.#sendUpdate(socket, update);
      }
      await this.#wake.promise;
    }
  }

  #sendUpdate(socket: Socket, update: Update): void {
    const { seq } = update;
    this.#late ??= this.#awaitAnswer(socket);
    const answered = (answer: Answer): void => {
      if (socket !== this.#socket) return;
      this.#late?.stop();
      const meaning = this.#sender.answered(seq, answer);
      this.#late = this.#sender.awaited > 0 ? this.#awaitAnswer(socket) : undefined;
      this.#answered(socket, meaning);
    };
    socket.ask("update_data", payload(update, this.#shiftS)).then(answered, () => undefined);
  }

  #awaitAnswer(socket: Socket): Timer {
    return new Timer(ANSWER_S, () => socket.close(`no answer to an update within ${ANSWER_S} s`));
  }

  #answered(socket: Socket, meaning: Meaning): void {
    for (const { stored, error } of meaning.dropped) {
      const warn = (key: string): void =>
        this.#warn(`a sample of ${JSON.stringify(key)} was refused for good: ${error.message ?? ""}`);
      tell(this.#options.onRefused ?? warn, stored.sample.key, error);
    }
    if (meaning.waitS > 0) {
      this.#resumeAt = performance.now() + meaning.waitS * 1000;
      new Timer(meaning.waitS, () => this.#wake.resolve());
    }
    if (meaning.isLost) {
      // Stay for a moment: `superseded` may be on its way, after which it does not come back.
      this.#reconnectAfterS = 0;
      new Timer(LOST_PAUSE_S, () => socket.close("the session has another owner or count"));
    }
    this.#noteEmpty();
    this.#wake.resolve();
  }

  #noteEmpty(): void {
    if (this.#buffer.length > 0) return;
    for (const done of this.#flushing) done(true);
  }

  #event(event: string, given: unknown, reply: Reply | undefined): void {
    const data = (typeof given === "object" && given !== null ? given : {}) as Record<string, unknown>;
    if (event === "command") {
      this.#commands.take(given, reply);
    } else if (event === "setup") {
      this.#setups.changed(data["setup"], Number(data["setup_version"]));
    } else if (event === "ping") {
      this.#socket?.emit("pong", data);
    } else if (event === "superseded" || event === "deleted") {
      this.#end(event);
    } else if (event === "draining" || event === "kicked") {
      this.#reconnectAfterS = seconds(data["reconnect_after_s"] ?? data["retry_after_s"]) ?? 1;
      this.#socket?.close(event);
    } else if (event === "service_error" && data["code"] === "not_authenticated") {
      this.#tokenEnded(String(data["message"] ?? ""));
    }
  }

  #tokenEnded(message: string): void {
    if (typeof this.#options.token === "function") {
      this.#reconnectAfterS = 0;
      this.#socket?.close("the token has ended");
    } else {
      this.#end(`not_authenticated: ${message}`);
    }
  }
}
