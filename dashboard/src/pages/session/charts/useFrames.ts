// What the charts show: a new frame whenever there is something to draw, and not more often than eyes need.
import { computed, onScopeDispose, ref, shallowRef, watch, type ComputedRef, type Ref, type ShallowRef } from "vue";
import { visibleRows } from "./line";
import type { Row } from "./series";
import type { SeriesSet } from "./useSeries";
import { rangeOf, still, type Range, type View } from "./view";

export interface Frame {
  readonly range: Range;
  /** Samples in the range, by key. */
  readonly rows: ReadonlyMap<string, readonly Row[]>;
  /** Time of the oldest sample of all; undefined: there is none. */
  readonly oldest: number | undefined;
  /** Samples of the key that has most. */
  readonly most: number;
  /** The present, by the clock of the samples. */
  readonly now: number;
}

export interface Frames {
  readonly view: Readonly<Ref<View>>;
  readonly isLive: ComputedRef<boolean>;
  readonly frame: Readonly<ShallowRef<Frame>>;
  readonly setView: (view: View) => void;
}

/** Shown at first. */
export const FIRST_WINDOW_S = 300;
/** Least time between two frames. */
const PAINT_MS = 250;

export function useFrames(
  series: SeriesSet,
  picked: Readonly<Ref<readonly string[]>>,
  isArchived: Readonly<Ref<boolean>>,
): Frames {
  const view = ref<View>({ kind: "live", windowS: isArchived.value ? undefined : FIRST_WINDOW_S });
  const isLive = computed(() => view.value.kind === "live");

  function make(): Frame {
    const all = picked.value.map((key) => [key, series.of(key)?.rows ?? []] as const);
    const times = (index: number): number[] => all.flatMap(([, rows]) => rows.at(index)?.[1] ?? []);
    const oldest = times(0).reduce<number | undefined>((one, other) => Math.min(one ?? other, other), undefined);
    const newest = times(-1).reduce<number | undefined>((one, other) => Math.max(one ?? other, other), undefined);
    // In the archive time stands still.
    const now = isArchived.value && newest !== undefined ? newest + 1 : Date.now() / 1000 + series.shiftS();
    const range = rangeOf(view.value, now, oldest);
    const rows = new Map(all.map(([key, kept]) => [key, visibleRows(kept, range)]));
    return { range, rows, oldest, most: Math.max(0, ...all.map(([, kept]) => kept.length)), now };
  }

  const frame = shallowRef(make());
  let drawn = series.version.value;
  const timer = setInterval(() => {
    if (document.hidden) return;
    const isMoving = isLive.value && !isArchived.value;
    if (!isMoving && drawn === series.version.value) return;
    drawn = series.version.value;
    frame.value = make();
  }, PAINT_MS);
  onScopeDispose(() => clearInterval(timer));
  watch([view, picked], () => (frame.value = make()));

  const setView = (wanted: View): void => void (view.value = wanted.kind === "still" ? still(wanted) : wanted);
  return { view, isLive, frame, setView };
}
