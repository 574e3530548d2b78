// Which time the charts show.

/** Following the present, or standing still. Times in seconds since 1970. */
export type View =
  | { readonly kind: "live"; /** undefined: all that is kept. */ readonly windowS: number | undefined }
  | { readonly kind: "still"; readonly from: number; readonly to: number };

export interface Range {
  readonly from: number;
  readonly to: number;
}

export const WINDOWS: readonly (readonly [label: string, seconds: number | undefined])[] = [
  ["1 min", 60],
  ["5 min", 300],
  ["15 min", 900],
  ["1 h", 3600],
  ["6 h", 21_600],
  ["1 d", 86_400],
  ["All", undefined],
];

/** Shown at first of a device that does not say how often it reports. */
const USUAL_WINDOW_S = 300;
/** So many reports are to be in what is shown at first. */
const FIRST_REPORTS = 10;

/** Return the window to begin with, which has some reports of the device in it; undefined: all that is kept. */
export function firstWindowS(isActive: boolean, everyS: number | null): number | undefined {
  if (!isActive) return undefined;
  const least = Math.max(USUAL_WINDOW_S, FIRST_REPORTS * (everyS ?? 0));
  return WINDOWS.find(([, seconds]) => seconds === undefined || seconds >= least)?.[1];
}

/** Nothing is closer than this: uPlot and eyes cannot use it. */
const LEAST_S = 0.01;
/** What an empty chart shows. */
const EMPTY_S = 60;
/** A live chart shows at least this. */
const SHORTEST_S = 10;

/** Return the times of the left and the right edge; there is no room for what is older than all that is known. */
export function rangeOf(view: View, nowS: number, oldestS: number | undefined): Range {
  if (view.kind === "still") return { from: view.from, to: view.to };
  const begin = oldestS === undefined ? nowS - EMPTY_S : Math.min(oldestS, nowS - SHORTEST_S);
  return { from: Math.max(begin, view.windowS === undefined ? begin : nowS - view.windowS), to: nowS };
}

/** Return the time of which the samples are wanted: also what has not come yet, where the present is shown. */
export function wantedOf(view: View, nowS: number): Range {
  if (view.kind === "still") return { from: view.from, to: view.to < nowS ? view.to : Infinity };
  return { from: view.windowS === undefined ? -Infinity : nowS - view.windowS, to: Infinity };
}

export function still({ from, to }: Range): View {
  const middle = (from + to) / 2;
  const half = Math.max(LEAST_S, to - from) / 2;
  return { kind: "still", from: middle - half, to: middle + half };
}

/** Show `factor` times as much around the middle. */
export function zoom({ from, to }: Range, factor: number): View {
  const middle = (from + to) / 2;
  const half = ((to - from) / 2) * factor;
  return still({ from: middle - half, to: middle + half });
}

/** Go by a part of what is shown; negative: back. */
export function move({ from, to }: Range, part: number): View {
  const by = (to - from) * part;
  return still({ from: from + by, to: to + by });
}
