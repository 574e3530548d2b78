// Commands of a device: each runs once, in order, and none holds up the connection.
import { seconds, words, type ErrorBody } from "../errors.js";
import type { Answer, Reply } from "../socket.js";
import type { Outcome } from "../storage/storage.js";
import { Timer } from "../time.js";
import type { Buffer } from "./buffer.js";

/** Gets the parameters; what it returns is the result, what it throws is the failure. */
export type CommandHandler = (params: any) => unknown;
/** Sends an event; fails where there is no connection, or it ends before the ack. */
export type Ask = (event: string, payload: unknown) => Promise<Answer>;

interface Waiting {
  readonly id: string;
  readonly name: string;
  readonly params: unknown;
}

const LONGEST_MESSAGE = 2000;
const LEAST_PAUSE_S = 0.25;
/** Errors after which the outcome is told again on the next connection. */
const NOT_OWNER = new Set(["not_registered", "stale_generation", "internal"]);

/** Runs commands and keeps their outcomes until the service has them. */
export class Commands {
  readonly #handlers = new Map<string, { run: CommandHandler; isRepeatable: boolean }>();
  readonly #open = new Set<string>(); // taken, and not ended
  readonly #unacked = new Map<string, Outcome>();
  #arriving: Promise<unknown> = Promise.resolve(); // one is written down after the other
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = false;

  constructor(
    private readonly buffer: Buffer,
    private readonly ask: Ask,
  ) {}

  /** Let `run` carry out commands of this name. */
  add(name: string, run: CommandHandler, isRepeatable: boolean): void {
    this.#handlers.set(name, { run, isRepeatable });
  }

  /** Take up what an earlier run of the program left: the service waits for its outcomes. */
  async resume(): Promise<void> {
    for (const { id, name, params, isStarted, outcome } of this.buffer.unreported()) {
      const known = this.#handlers.get(name);
      if (outcome !== null) {
        this.#unacked.set(id, outcome);
      } else if (known !== undefined && (known.isRepeatable || !isStarted)) {
        this.#enqueue({ id, name, params });
      } else {
        await this.#end(id, isStarted ? interrupted() : unknown(name));
      }
    }
  }

  /** Begin no further command; what runs now is reported as interrupted by a later run of the program. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Send outcomes again whose ack did not come. */
  connected(): void {
    for (const id of this.#unacked.keys()) void this.#report(id);
  }

  /** Take a command: it is delivered; run it unless it ran before. */
  take(given: unknown, reply: Reply | undefined): void {
    if (typeof given !== "object" || given === null || !("command_id" in given)) return;
    const { command_id, command, params } = given as { command_id: unknown; command?: unknown; params?: unknown };
    const waiting = { id: String(command_id), name: String(command), params: params ?? null };
    this.#arriving = this.#arriving.then(() => this.#taken(waiting, reply)).catch((error: unknown) => {
      // It has no ack, so it comes again with the next connection.
      console.error(`muster-client: the command ${waiting.id} could not be written down`, error);
    });
  }

  async #taken(waiting: Waiting, reply: Reply | undefined): Promise<void> {
    const { id, name, params } = waiting;
    let outcome = this.buffer.command(id)?.outcome ?? this.#unacked.get(id);
    if (outcome === undefined && !this.#open.has(id)) {
      if (this.#handlers.has(name)) {
        await this.buffer.taken(id, name, params);
        this.#enqueue(waiting);
      } else {
        outcome = unknown(name);
      }
    }
    if (reply !== undefined) {
      reply(outcome);
    } else if (outcome !== undefined) {
      this.#unacked.set(id, outcome);
      void this.#report(id);
    }
  }

  #enqueue(waiting: Waiting): void {
    this.#open.add(waiting.id);
    this.#running = this.#running.then(() => this.#run(waiting));
  }

  async #run({ id, name, params }: Waiting): Promise<void> {
    if (this.#isStopped) return;
    let outcome: Outcome;
    try {
      // Written down first, so that a later run of the program does not run it again.
      await this.buffer.started(id);
      outcome = await this.#outcome(name, params);
    } catch (error) {
      outcome = failed("bad_buffer", words(error));
    }
    await this.#end(id, outcome);
  }

  async #outcome(name: string, params: unknown): Promise<Outcome> {
    try {
      const result = (await this.#handlers.get(name)?.run(params)) ?? null;
      return { ok: true, result: JSON.parse(JSON.stringify(result)) as unknown };
    } catch (error) {
      const code = error instanceof Error ? error.name : "Error";
      return failed(code, words(error));
    }
  }

  async #end(id: string, outcome: Outcome): Promise<void> {
    this.#unacked.set(id, outcome);
    try {
      await this.buffer.ended(id, outcome);
    } catch (error) {
      console.error(`muster-client: the outcome of the command ${id} could not be written down`, error);
    }
    this.#open.delete(id);
    void this.#report(id); // the next command does not wait for the ack
  }

  async #report(id: string): Promise<void> {
    const outcome = this.#unacked.get(id);
    if (outcome === undefined) return;
    let error: ErrorBody;
    try {
      const answer = await this.ask("command_result", { command_id: id, ...outcome });
      error = answer.ok === true ? {} : (answer.error ?? { code: "internal" });
    } catch {
      return; // the connection ended; the next one sends it again
    }
    if (error.retryable === true) {
      new Timer(Math.max(LEAST_PAUSE_S, seconds(error.retry_after_s) ?? 1), () => void this.#report(id));
    } else if (error.code === "too_large" && outcome.ok) {
      // The command ends, and says why its result is missing.
      this.#unacked.set(id, failed("too_large", "the result is too large for the service"));
      await this.#report(id);
    } else if (!NOT_OWNER.has(error.code ?? "")) {
      this.#unacked.delete(id);
      this.buffer.reported(id);
    }
  }
}

function interrupted(): Outcome {
  return failed("interrupted", "the device was restarted while the command ran");
}

function unknown(name: string): Outcome {
  return failed("unknown_command", `this device has no command ${JSON.stringify(name)}`);
}

function failed(code: string, message: string): Outcome {
  return { ok: false, error: { code, message: wellFormed(message.slice(0, LONGEST_MESSAGE)) } };
}

function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\uFFFD");
}
