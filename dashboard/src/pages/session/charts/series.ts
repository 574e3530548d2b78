// The samples of one data key, as one line without a seam: what the service has kept, and what has come since.
import { exactJson, isNumber } from "@/client/exact";
import { firstFrom } from "./search";

export type Row = readonly [value: unknown, ts: number];

/** Most samples that a page keeps of one key of those that came live. */
export const MOST_SAMPLES = 20_000;

/** What a chart can draw of a value; null: nothing. */
export function numberOf(value: unknown): number | null {
  return isNumber(value) && Number.isFinite(Number(value)) ? Number(value) : null;
}

/** How often each of some rows is there. */
class Counts {
  readonly #left = new Map<string, number>();

  constructor(rows: readonly Row[]) {
    for (const row of rows) this.#left.set(nameOf(row), (this.#left.get(nameOf(row)) ?? 0) + 1);
  }

  /** Take one that is alike; return whether there was one. */
  take(row: Row): boolean {
    const count = this.#left.get(nameOf(row)) ?? 0;
    if (count > 0) this.#left.set(nameOf(row), count - 1);
    return count > 0;
  }
}

function nameOf([value, ts]: Row): string {
  return `${ts} ${exactJson(value)}`;
}

const byTime = (one: Row, other: Row): number => one[1] - other[1];

/**
 * Join what was read with what came since the feed began, by time.
 *
 * The feed begins before the history is read, so samples may be in both, and each may have some that the other lacks:
 * the history is short, and a feed has no past. One that is twice in a list is twice in the result.
 */
export function joinRows(history: readonly Row[], live: readonly Row[]): Row[] {
  const counts = new Counts(history);
  return [...history, ...live.filter((row) => !counts.take(row))].sort(byTime);
}

/** The answer of the routes of data. */
export interface History {
  readonly data: Readonly<Record<string, readonly Row[]>>;
}

/** Return the samples of a key, which may have the name of something that every object has. */
export function rowsOf({ data }: History, key: string): readonly Row[] {
  return Object.hasOwn(data, key) ? (data[key] ?? []) : [];
}

/** A time in which there were too many samples to be read: the lowest and highest of each interval. */
export interface Coarse {
  readonly rows: readonly Row[];
  /** From then on there is each sample. */
  readonly until: number;
  readonly stepS: number;
}

/** Return the rows of intervals, each at its beginning, with its lowest and its highest value. */
export function bandOf(lowest: readonly Row[], highest: readonly Row[], stepS: number): Row[] {
  const tops = new Map(highest.map(([value, ts]) => [ts, value]));
  return lowest.flatMap(([low, ts]): Row[] => {
    const high = tops.get(ts) ?? low;
    return low === high ? [[low, ts + stepS / 2]] : [[low, ts + stepS / 4], [high, ts + (3 * stepS) / 4]];
  });
}

/** Samples of one key by time; of equal times the one that came first is first. */
export class Series {
  /** Of the last reading, what did not come live. */
  #read: readonly Row[] = [];
  /** Of these, what may still come live. */
  #late = new Counts([]);
  readonly #live: Row[] = [];
  coarse: Coarse | undefined;
  /** How many live samples were dropped because there were too many. */
  dropped = 0;

  /** Take what the service has of a time, instead of what was read before; what came live stays. */
  load(read: readonly Row[], coarse?: Coarse): void {
    const live = new Counts(this.#live);
    this.#read = read.filter((row) => !live.take(row));
    this.#late = new Counts(this.#read);
    this.coarse = coarse;
  }

  /** Take one that has just come, maybe late. */
  add(row: Row): void {
    if (this.#late.take(row)) return; // it was read before it came
    let at = this.#live.length;
    while (at > 0 && (this.#live[at - 1] as Row)[1] > row[1]) at -= 1;
    if (at === this.#live.length) this.#live.push(row);
    else this.#live.splice(at, 0, row);
    if (this.#live.length <= 1.1 * MOST_SAMPLES) return;
    this.dropped += this.#live.length - MOST_SAMPLES;
    this.#live.splice(0, this.#live.length - MOST_SAMPLES);
  }

  /** Time of the oldest that came live; undefined: none did. */
  get liveFrom(): number | undefined {
    return this.#live[0]?.[1];
  }

  get oldest(): number | undefined {
    const times = [this.coarse?.rows[0], this.#read[0], this.#live[0]].flatMap((row) => row?.[1] ?? []);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  get newest(): number | undefined {
    const times = [this.#read.at(-1), this.#live.at(-1)].flatMap((row) => row?.[1] ?? []);
    return times.length > 0 ? Math.max(...times) : undefined;
  }

  /** Return what is known between two times, and a neighbour on each side, so that lines reach the edges. */
  within(from: number, to: number): Row[] {
    const lists = [this.coarse?.rows ?? [], this.#read, this.#live];
    return lists.flatMap((rows) => slice(rows, from, to)).sort(byTime);
  }
}

function slice(rows: readonly Row[], from: number, to: number): readonly Row[] {
  const place = (time: number): number => firstFrom(rows.length, time, (index) => (rows[index] as Row)[1]);
  return rows.slice(Math.max(0, place(from) - 1), place(to) + 1);
}
