// What the charts show: a new frame whenever there is something to draw, and not more often than eyes need.
import { computed, onScopeDispose, ref, shallowRef, watch, type ComputedRef, type Ref, type ShallowRef } from "vue";
import type { Coarse, Row } from "./series";
import type { SeriesSet } from "./useSeries";
import { rangeOf, still, wantedOf, type Range, type View } from "./view";

/** What is shown of one key. */
export interface Shown {
  readonly rows: readonly Row[];
  /** Where it is known by intervals only. */
  readonly coarse: Coarse | undefined;
}

export interface Frame {
  readonly range: Range;
  readonly shown: ReadonlyMap<string, Shown>;
  /** Time of the oldest sample of all; undefined: there is none. */
  readonly oldest: number | undefined;
  /** The present, by the clock of the samples. */
  readonly now: number;
}

export interface Frames {
  readonly view: Readonly<Ref<View>>;
  readonly isLive: ComputedRef<boolean>;
  readonly frame: Readonly<ShallowRef<Frame>>;
  readonly setView: (view: View) => void;
  /** Follow the present again, with as much of the past as before. */
  readonly goLive: () => void;
}

/** Least time between two frames. */
const PAINT_MS = 250;

/** `columns`: of the charts, in pixels; `firstS`: the window to begin with; undefined: all. */
export function useFrames(
  series: SeriesSet,
  picked: Readonly<Ref<readonly string[]>>,
  isArchived: Readonly<Ref<boolean>>,
  columns: Readonly<Ref<number>>,
  firstS: number | undefined,
): Frames {
  let windowS = firstS;
  const view = ref<View>({ kind: "live", windowS });
  const isLive = computed(() => view.value.kind === "live");

  function make(): Frame {
    const all = picked.value.flatMap((key) => {
      const one = series.of(key);
      return one === undefined ? [] : [[key, one] as const];
    });
    const extreme = (times: (number | undefined)[], pick: (...of: number[]) => number): number | undefined => {
      const known = times.filter((time) => time !== undefined);
      return known.length > 0 ? pick(...known) : undefined;
    };
    const oldest = extreme([series.kept.value?.oldest, ...all.map(([, one]) => one.oldest)], Math.min);
    const newest = extreme(all.map(([, one]) => one.newest), Math.max);
    // In the archive time stands still.
    const now = isArchived.value && newest !== undefined ? newest + 1 : Date.now() / 1000 + series.shiftS();
    const range = rangeOf(view.value, now, oldest);
    series.want({ ...wantedOf(view.value, now), shown: range, columns: columns.value });
    const shown = new Map(
      all.map(([key, one]) => [key, { rows: one.within(range.from, range.to), coarse: one.coarse }] as const),
    );
    return { range, shown, oldest, now };
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
  watch([view, picked, columns], () => (frame.value = make()));

  function setView(wanted: View): void {
    if (wanted.kind === "live") windowS = wanted.windowS;
    view.value = wanted.kind === "still" ? still(wanted) : wanted;
  }
  const goLive = (): void => setView({ kind: "live", windowS: isArchived.value ? undefined : windowS });
  return { view, isLive, frame, setView, goLive };
}
