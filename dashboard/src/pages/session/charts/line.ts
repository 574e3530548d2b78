// From samples to a line that can be drawn: gaps are gaps, and there are no more points than a screen can show.
import { firstFrom } from "./search";
import { numberOf, type Coarse, type Row } from "./series";

/** A line for uPlot; null: nothing is drawn up to the next point. */
export interface Line {
  readonly x: number[];
  readonly y: (number | null)[];
}

/** A time in which nothing could come. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** So many times the usual distance without a sample is a gap. */
const GAP_FACTOR = 5;
/** Shorter ones never are: they are jitter. */
const LEAST_GAP_S = 2;

/** Return how long without a sample is a gap; `everyS`: how often the device reports, as it says. */
export function gapAfterS(times: readonly number[], everyS: number | null = null): number {
  if (everyS !== null) return Math.max(LEAST_GAP_S, 3 * everyS);
  const distances: number[] = [];
  for (let index = 1; index < times.length; index += 1) {
    const distance = (times[index] as number) - (times[index - 1] as number);
    if (distance > 0) distances.push(distance);
  }
  distances.sort((one, other) => one - other);
  const usual = distances[distances.length >> 1];
  return usual === undefined ? Infinity : Math.max(LEAST_GAP_S, GAP_FACTOR * usual);
}

/** Intervals without a sample that are a gap, where only intervals are known. */
const GAP_INTERVALS = 2;

/** Make a line; it ends where a gap is longer than `gapS`, where a span without connection lies, or no number came. */
export function lineOf(rows: readonly Row[], gapS: number, spans: readonly Span[] = [], coarse?: Coarse): Line {
  const coarseGapS = Math.max(gapS, GAP_INTERVALS * (coarse?.stepS ?? 0));
  const line: Line = { x: [], y: [] };
  let before: number | undefined;
  for (const [value, ts] of rows) {
    const most = before !== undefined && coarse !== undefined && before < coarse.until ? coarseGapS : gapS;
    if (before !== undefined && (ts - before > most || crosses(spans, before, ts))) push(line, (before + ts) / 2, null);
    push(line, ts, numberOf(value));
    before = ts;
  }
  return line;
}

/** Whether a whole span lies between two samples. */
function crosses(spans: readonly Span[], from: number, to: number): boolean {
  return spans.some((span) => span.from >= from && span.to <= to);
}

function push(line: Line, x: number, y: number | null): void {
  line.x.push(x);
  line.y.push(y);
}

/**
 * Leave out points that would fall onto the same column: of each of `columns` between `from` and `to` stay the first,
 * the last, the lowest and the highest, and each gap. The line looks the same.
 */
export function thin(line: Line, from: number, to: number, columns: number): Line {
  const [first, end] = [Math.max(0, lowerBound(line.x, from) - 1), Math.min(line.x.length, lowerBound(line.x, to) + 2)];
  if (end - first <= 4 * columns) return { x: line.x.slice(first, end), y: line.y.slice(first, end) };
  const thinned: Line = { x: [], y: [] };
  const width = (to - from) / columns;
  let begin = first;
  for (let index = first + 1; index <= end; index += 1) {
    const isSameColumn = index < end && columnOf(line, index, from, width) === columnOf(line, begin, from, width);
    if (isSameColumn) continue;
    for (const kept of extremes(line, begin, index))
      push(thinned, line.x[kept] as number, line.y[kept] as number | null);
    begin = index;
  }
  return thinned;
}

function columnOf(line: Line, index: number, from: number, width: number): number {
  return Math.floor(((line.x[index] as number) - from) / width);
}

function extremes(line: Line, begin: number, end: number): number[] {
  const kept = new Set([begin, end - 1]);
  let [low, high] = [-1, -1];
  for (let index = begin; index < end; index += 1) {
    const y = line.y[index] as number | null;
    if (y === null) {
      // Of a column full of gaps one is as good as all.
      if (line.y[index - 1] !== null) kept.add(index);
      continue;
    }
    if (low < 0 || y < (line.y[low] as number)) low = index;
    if (high < 0 || y > (line.y[high] as number)) high = index;
  }
  if (low >= 0) kept.add(low).add(high);
  return [...kept].sort((one, other) => one - other);
}

/** Return the index of the first that is not below `value`. */
export function lowerBound(sorted: readonly number[], value: number): number {
  return firstFrom(sorted.length, value, (index) => sorted[index] as number);
}
