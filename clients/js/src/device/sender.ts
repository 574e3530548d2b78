// The rule by which a device loses nothing and stores nothing twice; no I/O, no clock.
//
// An update gets the next number of a stream, which the buffer keeps before the update is sent. Only an `ok`
// for it, or `last_seq` of a later `register`, settles it. After a refusal nothing is sent until every answer
// that is under way has come; then what is left is numbered from the highest settled number on, once.
import { seconds, type ErrorBody } from "../errors.js";
import type { Numbered, Stored } from "../storage/storage.js";
import { newStream, type Buffer } from "./buffer.js";
import { row, type Json } from "./samples.js";

/** Samples that the service takes in one update. */
export const MAX_SAMPLES = 2000;
/** Bytes of one update: far below the limit of a message, so that acks come often on slow lines. */
const MAX_BYTES = 256 << 10;
/** Updates that are on their way at a time. */
const WINDOW = 16;
/** Codes after which the same update would be refused again. */
const FINAL = new Set(["invalid_request", "too_large", "not_allowed"]);
/** … and after which only a new `register` tells what is stored. */
const LOST = new Set(["stale_generation", "not_registered", "session_not_found", "internal"]);

/** An update that has its number, or gets it when it is sent. */
export interface Update {
  seq: number;
  readonly samples: readonly Stored[];
}

/** Return an update as `update_data` takes it, its times corrected. */
export function payload(update: Update, shiftS: number): { seq: number; samples: [string, Json, number][] } {
  return { seq: update.seq, samples: update.samples.map((one) => row(one.sample, shiftS)) };
}

function lastPlace(update: Update): number {
  return update.samples.at(-1)?.place ?? 0;
}

/** What an answer meant. */
export interface Meaning {
  /** Samples that the service will never take, each with the error of its own refusal. */
  dropped: { readonly stored: Stored; readonly error: ErrorBody }[];
  /** Send nothing for so long. */
  waitS: number;
  /** This connection does not own the session any more, or counts otherwise: connect again. */
  isLost: boolean;
}

/** What one device has to send; asked by one connection at a time. */
export class Sender {
  #settled: number; // highest number that is settled in this stream, as far as is known
  #left: Update[] = []; // numbered and not settled, in order
  #unsent = 0; // how many at the end of `#left` were not sent on this connection
  #awaited = 0; // answers that have not come
  #isRegistered = false;
  readonly #refused = new Map<number, ErrorBody>(); // to be split or dropped when all answers came
  #mustRenumber = false;
  #hasReason = false; // a refusal in this round explains its conflicts

  constructor(
    private readonly buffer: Buffer,
    private readonly window = WINDOW,
  ) {
    let after = 0;
    for (const { seq, last } of buffer.numbered) {
      const samples = buffer.samples(after, Infinity).filter((one) => one.place <= last);
      if (samples.length > 0) this.#left.push({ seq, samples });
      after = last;
    }
    this.#settled = this.#left[0] === undefined ? buffer.highest : this.#left[0].seq - 1;
  }

  /** How many answers have not come. */
  get awaited(): number {
    return this.#awaited;
  }

  /** Forget the connection; no answer will come any more. */
  lost(): void {
    this.#isRegistered = false;
    this.#awaited = 0;
    this.#refused.clear();
    this.#mustRenumber = this.#hasReason = false;
  }

  /**
   * Begin on a connection that was registered with the buffer's stream.
   *
   * Returns whether another stream has to be registered before anything is sent. Either the service knows
   * numbers that this buffer never gave: then some samples may be stored twice. Or it has lost some that were
   * settled: given again, they would pass for the former ones where it gets these back, from a backup.
   */
  registered(lastSeq: number): boolean {
    let settled: Update | undefined;
    while (this.#left[0] !== undefined && this.#left[0].seq <= lastSeq) settled = this.#left.shift();
    const mustChange = lastSeq > this.buffer.highest || lastSeq < this.#settled;
    this.#settled = mustChange ? 0 : lastSeq;
    this.#numberLeft(mustChange ? newStream() : this.buffer.stream);
    if (settled !== undefined) this.buffer.settle(lastPlace(settled), this.#numbers());
    this.#awaited = 0;
    this.#unsent = this.#left.length;
    this.#isRegistered = !mustChange;
    return mustChange;
  }

  /** Give what is left the numbers behind the highest settled one, where that changes anything. */
  #numberLeft(stream: string): void {
    let isChanged = stream !== this.buffer.stream || this.buffer.isNew;
    this.#left.forEach((update, index) => {
      const seq = this.#settled + 1 + index;
      isChanged ||= update.seq !== seq;
      update.seq = seq;
    });
    if (!isChanged) return;
    const highest = this.#settled + this.#left.length;
    const isSame = stream === this.buffer.stream;
    this.buffer.number(this.#numbers(), isSame ? Math.max(highest, this.buffer.highest) : highest, stream);
  }

  #numbers(): Numbered[] {
    return this.#left.map((update) => ({ seq: update.seq, last: lastPlace(update) }));
  }

  /** Give new samples their numbers; they are sent by `take` once the buffer keeps these. */
  prepare(): void {
    if (!this.#isRegistered || this.#mustRenumber || this.#unsent > 0) return;
    const last = this.#left.at(-1);
    let after = last === undefined ? 0 : lastPlace(last);
    let seq = last?.seq ?? this.#settled;
    const count = this.#left.length;
    while (this.#left.length - count < this.window - this.#awaited) {
      const samples = this.#fitting(after);
      if (samples.length === 0) break;
      seq += 1;
      const update = { seq, samples };
      this.#left.push(update);
      after = lastPlace(update);
    }
    this.#unsent = this.#left.length - count;
    if (this.#unsent > 0) {
      this.buffer.number(this.#numbers(), Math.max(seq, this.buffer.highest), this.buffer.stream);
    }
  }

  #fitting(after: number): Stored[] {
    const samples = this.buffer.samples(after, MAX_SAMPLES);
    let size = 0;
    const count = samples.findIndex((one, index) => {
      size += one.sample.size;
      return index > 0 && size > MAX_BYTES;
    });
    return count < 0 ? samples : samples.slice(0, count);
  }

  /** Return updates to be sent now, in order; none while the buffer does not keep their numbers. */
  take(): Update[] {
    if (!this.#isRegistered || this.#mustRenumber || !this.buffer.areNumbersKept) return [];
    const count = Math.min(this.window - this.#awaited, this.#unsent);
    const first = this.#left.length - this.#unsent;
    this.#unsent -= count;
    this.#awaited += count;
    return this.#left.slice(first, first + count);
  }

  /** Take the answer to an update of this connection. */
  answered(seq: number, answer: { ok?: unknown; error?: ErrorBody }): Meaning {
    this.#awaited -= 1;
    const meaning: Meaning = { dropped: [], waitS: 0, isLost: false };
    if (answer.ok === true) this.#ok(seq);
    else this.#notOk(seq, answer.error ?? {}, meaning);
    if (this.#mustRenumber && this.#awaited === 0) this.#beginAgain(meaning);
    return meaning;
  }

  #ok(seq: number): void {
    if (!this.#left.some((update) => update.seq === seq)) return;
    // Acks come in the order of the updates, so all before it are stored too.
    let settled: Update | undefined;
    while (this.#left[0] !== undefined && this.#left[0].seq <= seq) settled = this.#left.shift();
    this.#settled = seq;
    if (settled !== undefined) this.buffer.settle(lastPlace(settled), this.#numbers());
  }

  #notOk(seq: number, error: ErrorBody, meaning: Meaning): void {
    const code = error.code ?? "internal";
    this.#mustRenumber = true;
    if (LOST.has(code)) {
      meaning.isLost = true;
    } else if (FINAL.has(code)) {
      this.#refused.set(seq, error);
      this.#hasReason = true;
    } else if (code !== "conflict") {
      this.#hasReason = true;
      meaning.waitS = seconds(error.retry_after_s) ?? 0.25;
    }
  }

  /** All answers came: split or drop what was refused, number the rest, send it again. */
  #beginAgain(meaning: Meaning): void {
    if (!this.#hasReason) {
      meaning.isLost = true; // the service counts otherwise: the next `register` says how
      return;
    }
    this.#left = this.#left.flatMap((update) => {
      const error = this.#refused.get(update.seq);
      if (error === undefined) return [update];
      const half = update.samples.length >> 1;
      if (half > 0) {
        return [
          { seq: 0, samples: update.samples.slice(0, half) },
          { seq: 0, samples: update.samples.slice(half) },
        ];
      }
      meaning.dropped.push(...update.samples.map((stored) => ({ stored, error })));
      return [];
    });
    this.#refused.clear();
    this.#mustRenumber = this.#hasReason = false;
    this.#left.forEach((update, index) => (update.seq = this.#settled + 1 + index));
    const highest = Math.max(this.buffer.highest, this.#settled + this.#left.length);
    for (const { stored } of meaning.dropped) this.buffer.drop(stored.place);
    this.buffer.number(this.#numbers(), highest, this.buffer.stream);
    this.#unsent = this.#left.length;
  }
}
