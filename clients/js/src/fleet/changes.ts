// Changes of a fleet, and the queues of those that read them one by one.
import type { CommandUpdate, Summary } from "../event_types.js";

export type FleetState = "connecting" | "live" | "resyncing" | "offline" | "conflated";

/** A sample as it comes: data key, value, time. */
export type SampleRow = readonly [key: string, value: unknown, ts: number];

/** What happened. */
export type Change =
  /** All is new: read `sessions`. */
  | { readonly kind: "reset" }
  | { readonly kind: "changed"; readonly sessionId: string; readonly summary: Summary }
  /** It left the scope, which does not mean that it was deleted. */
  | { readonly kind: "removed"; readonly sessionId: string }
  | {
      readonly kind: "samples";
      readonly sessionId: string;
      /** The session's revision after the last of them. */
      readonly rev: number;
      /** Oldest first. */
      readonly samples: readonly SampleRow[];
      /** Older ones were left out, because this client read too slowly. */
      readonly isConflated: boolean;
    }
  | { readonly kind: "command"; readonly sessionId: string; readonly command: CommandUpdate }
  | { readonly kind: "state"; readonly state: FleetState }
  /** This reader was too slow: so many changes were left out before the next one. Read `sessions`. */
  | { readonly kind: "missed"; readonly count: number };

/** Changes that wait for one reader; bounded, so that a slow one costs no memory. */
export class ChangeQueue implements AsyncIterableIterator<Change, undefined> {
  #waiting: Change[] = [];
  #missed = 0;
  #readers: { resolve: (result: IteratorResult<Change, undefined>) => void; reject: (error: unknown) => void }[] = [];
  #isEnded = false;
  #error: Error | undefined;

  constructor(
    private readonly limit: number,
    private readonly left: (queue: ChangeQueue) => void,
  ) {}

  push(change: Change): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: change });
      return;
    }
    if (this.#waiting.length >= this.limit) {
      this.#missed += this.#waiting.length;
      this.#waiting = [];
    }
    this.#waiting.push(change);
  }

  end(error?: Error): void {
    this.#isEnded = true;
    this.#error = error;
    for (const { resolve, reject } of this.#readers.splice(0)) {
      if (error === undefined) resolve({ done: true, value: undefined });
      else reject(error);
    }
  }

  next(): Promise<IteratorResult<Change, undefined>> {
    if (this.#missed > 0) {
      const value: Change = { kind: "missed", count: this.#missed };
      this.#missed = 0;
      return Promise.resolve({ done: false, value });
    }
    const value = this.#waiting.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (!this.#isEnded) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    return this.#error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.#error);
  }

  return(): Promise<IteratorResult<Change, undefined>> {
    this.left(this);
    this.#waiting = [];
    this.#missed = 0;
    this.#error = undefined;
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
