// The samples of the keys that are drawn: of what is shown they are read, then followed.
import { inPath } from "muster-client/rest";
import { onScopeDispose, ref, shallowRef, watch, type Ref, type ShallowRef } from "vue";
import { codeOf } from "@/client/errors";
import { useClient } from "@/stores/client";
import type { Feed } from "../useFeed";
import { fits, readLayer, type Answer, type Kept, type Layer, type Wanted } from "./layer";
import { Series } from "./series";

/** Most keys that are drawn at once. */
export const MOST_KEYS = 12;
/** Least time between two readings, but for what somebody just chose. */
const PAUSE_MS = 5_000;

export interface SeriesSet {
  /** Grows with every change of any series. */
  readonly version: Readonly<Ref<number>>;
  /** How far the clock of the samples is ahead of ours, in seconds. */
  readonly shiftS: () => number;
  readonly of: (key: string) => Series | undefined;
  /** Read what is shown, unless it is there. */
  readonly want: (wanted: Omit<Wanted, "keys">) => void;
  /** undefined: nothing was read yet, or the service does not say. */
  readonly kept: Readonly<ShallowRef<Kept | undefined>>;
  readonly isLoading: Readonly<Ref<boolean>>;
  readonly error: Readonly<ShallowRef<unknown>>;
  readonly reload: () => void;
}

/** Keep the series of the picked keys for as long as the scope lives. */
export function useSeries(feed: Feed, picked: Readonly<Ref<readonly string[]>>): SeriesSet {
  const client = useClient();
  const all = new Map<string, Series>();
  const version = ref(0);
  const kept = shallowRef<Kept>();
  const isLoading = ref(false);
  const error = shallowRef<unknown>();
  const path = `/sessions/${inPath(feed.sessionId)}/data`;
  let layer: Layer | undefined;
  /** Of the layer: live samples that were dropped before it was read. */
  let dropped = 0;
  let notBefore = 0;
  let run = 0;
  let aheadS = -Infinity;
  let isIncomplete = false;

  function want(wanted: Omit<Wanted, "keys">): void {
    if (isLoading.value || picked.value.length === 0) return;
    const asked = { ...wanted, keys: picked.value };
    const isThere = layer !== undefined && fits(layer, asked) && !lacksDropped(asked);
    if (isThere || performance.now() < notBefore) return;
    void load(asked);
  }

  /** Whether samples are shown that came live, and of which there were too many. */
  function lacksDropped({ from }: Wanted): boolean {
    return droppedNow() > dropped && [...all.values()].some((one) => one.dropped > 0 && from < (one.liveFrom ?? from));
  }

  const droppedNow = (): number => [...all.values()].reduce((sum, one) => sum + one.dropped, 0);

  async function load(wanted: Wanted): Promise<void> {
    const mine = ++run;
    isLoading.value = true;
    notBefore = performance.now() + PAUSE_MS;
    const before = droppedNow();
    try {
      const found = await readLayer((query) => client.get<Answer>(path, query), wanted);
      if (mine !== run) return;
      [layer, dropped, kept.value, error.value] = [found, before, found.kept, undefined];
      for (const [key, rows] of found.samples) all.get(key)?.load(rows, found.coarse.get(key));
    } catch (caught) {
      if (mine === run && codeOf(caught) !== "session_not_found") error.value = caught;
    } finally {
      if (mine === run) isLoading.value = false;
      version.value += 1;
    }
  }

  /** Read again what is shown, with the next frame. */
  function reload(): void {
    run += 1; // an answer that is on its way is older
    isLoading.value = false;
    layer = undefined;
    notBefore = 0;
    version.value += 1;
  }

  watch(
    picked,
    (keys) => {
      for (const key of all.keys()) if (!keys.includes(key)) all.delete(key);
      for (const key of keys) if (!all.has(key)) all.set(key, new Series()); // takes what comes from now on
      reload();
    },
    { immediate: true },
  );
  feed.on({
    samples: ({ samples, isConflated }) => {
      isIncomplete ||= isConflated;
      for (const [key, value, ts] of samples) {
        aheadS = Math.max(aheadS, ts - Date.now() / 1000);
        const series = all.get(key);
        if (series === undefined) continue;
        series.add([value, ts]);
        version.value += 1;
      }
    },
    // The feed has a hole: the history has what fell into it.
    reset: reload,
    state: ({ state }) => {
      if (state !== "live" || !isIncomplete) return;
      isIncomplete = false;
      reload();
    },
  });
  onScopeDispose(() => (run += 1));

  return {
    version,
    shiftS: () => (Number.isFinite(aheadS) ? aheadS : 0),
    of: (key) => all.get(key),
    want,
    kept,
    isLoading,
    error,
    reload,
  };
}
