// The samples of the keys that are drawn: read once, then followed.
import { inPath } from "muster-client/rest";
import { computed, onScopeDispose, ref, shallowReactive, shallowRef, watch, type Ref } from "vue";
import { codeOf } from "@/client/errors";
import { useClient } from "@/stores/client";
import type { Feed } from "../useFeed";
import { MOST_SAMPLES, rowsOf, Series, type History } from "./series";

/** Most keys that are drawn at once. */
export const MOST_KEYS = 12;

export interface SeriesSet {
  /** Grows with every change of any series. */
  readonly version: Readonly<Ref<number>>;
  /** How far the clock of the samples is ahead of ours, in seconds. */
  readonly shiftS: () => number;
  readonly of: (key: string) => Series | undefined;
  /** Keys whose history is on its way. */
  readonly loading: ReadonlySet<string>;
  readonly error: Readonly<Ref<unknown>>;
  readonly reload: () => Promise<void>;
}

/** Keep the series of the picked keys for as long as the scope lives. */
export function useSeries(feed: Feed, picked: Readonly<Ref<readonly string[]>>): SeriesSet {
  const client = useClient();
  const all = new Map<string, Series>();
  const version = ref(0);
  const loading = shallowReactive(new Set<string>());
  const error = shallowRef<unknown>();
  let aheadS = -Infinity;
  let isIncomplete = false;
  let isOver = false;

  async function load(key: string): Promise<void> {
    const series = all.get(key);
    if (series === undefined) return;
    loading.add(key);
    try {
      const path = `/sessions/${inPath(feed.sessionId)}/data/${inPath(key)}`;
      const found = await client.get<History>(path, { limit: MOST_SAMPLES });
      if (isOver || all.get(key) !== series) return;
      series.load(rowsOf(found, key));
      error.value = undefined;
      version.value += 1;
    } catch (caught) {
      const isGone = codeOf(caught) === "session_not_found" || codeOf(caught) === "key_not_found";
      if (!isGone) error.value = caught;
    } finally {
      loading.delete(key);
    }
  }

  async function reload(): Promise<void> {
    await Promise.all([...all.keys()].map(load));
  }

  watch(
    picked,
    (keys) => {
      for (const key of all.keys()) if (!keys.includes(key)) all.delete(key);
      for (const key of keys) {
        if (all.has(key)) continue;
        all.set(key, new Series()); // takes what comes from now on; what was before is read
        void load(key);
      }
      version.value += 1;
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
    reset: () => void reload(),
    state: ({ state }) => {
      if (state !== "live" || !isIncomplete) return;
      isIncomplete = false;
      void reload();
    },
  });
  onScopeDispose(() => (isOver = true));

  return {
    version,
    shiftS: () => (Number.isFinite(aheadS) ? aheadS : 0),
    of: (key) => all.get(key),
    loading,
    error: computed(() => error.value),
    reload,
  };
}
