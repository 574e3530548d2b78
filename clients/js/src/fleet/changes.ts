// Changes of a fleet, and the queues of those that read them one by one.
import type { CommandUpdate, Summary } from "../event_types.js";

export type FleetState = "connecting" | "live" | "resyncing" | "offline" | "conflated" | "stale";

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
  | { readonly kind: "state"; readonly state: FleetState };

interface Reader {
  readonly resolve: (result: IteratorResult<Change, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Changes that wait for one reader. What waits is bounded by what there is to know, not by time: beyond `most`
 * samples and other changes, what a later one has overtaken is left out.
 */
export class ChangeQueue implements AsyncIterableIterator<Change, undefined> {
  #waiting: Change[] = [];
  #first = 0; // changes before this index were read
  #size = 0;
  #limit: number;
  readonly #readers: Reader[] = [];
  #isEnded = false;
  #error: Error | undefined;

  constructor(
    private readonly most: number,
    private readonly left: (queue: ChangeQueue) => void,
  ) {
    this.#limit = most;
  }

  push(change: Change): void {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: change });
      return;
    }
    this.#waiting.push(change);
    this.#size += size(change);
    if (this.#size <= this.#limit) return;
    this.#waiting = latest(this.#waiting.slice(this.#first));
    this.#first = 0;
    this.#size = this.#waiting.reduce((sum, one) => sum + size(one), 0);
    this.#limit = Math.max(this.most, 2 * this.#size); // so that each change costs little
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
    const value = this.#waiting[this.#first];
    if (value !== undefined) {
      this.#first += 1;
      this.#size -= size(value);
      if (this.#first === this.#waiting.length) this.#clear();
      return Promise.resolve({ done: false, value });
    }
    if (!this.#isEnded) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    return this.#error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.#error);
  }

  return(): Promise<IteratorResult<Change, undefined>> {
    this.left(this);
    this.#clear();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  #clear(): void {
    this.#waiting = [];
    this.#first = this.#size = 0;
    this.#limit = this.most;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function size(change: Change): number {
  return change.kind === "samples" ? Math.max(1, change.samples.length) : 1;
}

/** Leave out what a later change has overtaken; what is left stays in its order. */
function latest(changes: readonly Change[]): Change[] {
  const found = new Map<string, Change>();
  for (const change of changes) {
    const key = subject(change);
    const older = found.get(key);
    found.delete(key);
    found.set(key, change.kind === "samples" ? merged(older, change) : change);
  }
  return [...found.values()];
}

/** Return of what a change tells; `changed` and `removed` overtake each other. */
function subject(change: Change): string {
  if (!("sessionId" in change)) return change.kind;
  if (change.kind === "samples") return `samples ${change.sessionId}`;
  return change.kind === "command" ? `command ${change.command.command_id} ${change.sessionId}` : `session ${change.sessionId}`;
}

type Samples = Change & { kind: "samples" };

function merged(older: Change | undefined, newer: Samples): Samples {
  const before = older?.kind === "samples" ? older : undefined;
  const rows = [...(before?.samples ?? []), ...newer.samples];
  const byKey = new Map<string, SampleRow>();
  for (const row of rows) {
    byKey.delete(row[0]);
    byKey.set(row[0], row);
  }
  const isConflated = newer.isConflated || before?.isConflated === true || byKey.size < rows.length;
  return { ...newer, samples: [...byKey.values()], isConflated };
}
