// The samples of one data key: what the service has kept, and what has come since, as one line without a seam.
import { exactJson, isNumber } from "@/client/exact";

export type Row = readonly [value: unknown, ts: number];

/** Most samples that a page keeps of one key. */
export const MOST_SAMPLES = 20_000;

/** What a chart can draw of a value; null: nothing. */
export function numberOf(value: unknown): number | null {
  return isNumber(value) && Number.isFinite(Number(value)) ? Number(value) : null;
}

/**
 * Join what was read with what came since the feed began, by time.
 *
 * The feed begins before the history is read, so samples may be in both, and each may have some that the other lacks:
 * the history is short, and a feed has no past. One that is twice in a list is twice in the result.
 */
export function joinRows(history: readonly Row[], live: readonly Row[]): Row[] {
  const left = new Map<string, number>();
  for (const row of history) {
    const name = nameOf(row);
    left.set(name, (left.get(name) ?? 0) + 1);
  }
  const more = live.filter((row) => {
    const name = nameOf(row);
    const count = left.get(name) ?? 0;
    if (count > 0) left.set(name, count - 1);
    return count === 0;
  });
  return [...history, ...more].sort((one, other) => one[1] - other[1]);
}

/** The answer of the routes of data. */
export interface History {
  readonly data: Readonly<Record<string, readonly Row[]>>;
}

/** Return the samples of a key, which may have the name of something that every object has. */
export function rowsOf({ data }: History, key: string): readonly Row[] {
  return Object.hasOwn(data, key) ? (data[key] ?? []) : [];
}

function nameOf([value, ts]: Row): string {
  return `${ts} ${exactJson(value)}`;
}

/** Samples of one key by time; of equal times the one that came first is first. */
export class Series {
  #rows: Row[] = [];
  /** How many samples were dropped because there were too many. */
  dropped = 0;

  get rows(): readonly Row[] {
    return this.#rows;
  }

  get last(): Row | undefined {
    return this.#rows.at(-1);
  }

  /** Take what the service has; what came before stays. */
  load(history: readonly Row[]): void {
    this.#rows = joinRows(history, this.#rows);
    this.#bound(MOST_SAMPLES);
  }

  /** Take one that has just come, maybe late. */
  add(row: Row): void {
    let at = this.#rows.length;
    while (at > 0 && (this.#rows[at - 1] as Row)[1] > row[1]) at -= 1;
    if (at === this.#rows.length) this.#rows.push(row);
    else this.#rows.splice(at, 0, row);
    if (this.#rows.length > 1.1 * MOST_SAMPLES) this.#bound(MOST_SAMPLES);
  }

  #bound(most: number): void {
    const over = this.#rows.length - most;
    if (over <= 0) return;
    this.#rows.splice(0, over);
    this.dropped += over;
  }
}
