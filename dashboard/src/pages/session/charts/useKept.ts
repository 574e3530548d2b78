// How far back the service's samples go, and which setting says so.
import { inPath } from "muster-client/rest";
import { shallowRef, watch, type Ref, type ShallowRef } from "vue";
import { useClient } from "@/stores/client";
import type { Feed } from "../useFeed";

/** Of one data key, as docs/protocol.md describes it. */
interface KeptOfKey {
  /** Seconds since 1970; null: there is none. */
  readonly oldest: number | null;
  readonly samples: number;
  readonly at_most: number;
}

interface Series {
  readonly kept: Readonly<Record<string, KeptOfKey>>;
  readonly setting: string;
}

export interface Kept {
  readonly setting: string;
  /** Of all keys that are drawn; undefined: they have no samples. */
  readonly oldest: number | undefined;
  readonly atMost: number;
  /** Whether older samples were dropped. */
  readonly isFull: boolean;
}

/** The longest interval, because only what the answer says beside its points is wanted. */
const STEP_S = 31_622_400;

/** Return what is kept of the picked keys; undefined: not known yet, or the service does not say. */
export function useKept(feed: Feed, picked: Readonly<Ref<readonly string[]>>): Readonly<ShallowRef<Kept | undefined>> {
  const client = useClient();
  const kept = shallowRef<Kept>();
  let asked = 0;

  async function load(keys: readonly string[]): Promise<void> {
    const number = ++asked;
    const query = new URLSearchParams([
      ...keys.map((key) => ["keys", key]),
      ["step", String(STEP_S)],
      ["agg", "count"],
    ]);
    try {
      const found = await client.get<Series>(`/sessions/${inPath(feed.sessionId)}/data?${query.toString()}`);
      if (number === asked) kept.value = sum(found);
    } catch {
      if (number === asked) kept.value = undefined; // the session is gone, or the service is older than this page
    }
  }

  watch(
    picked,
    (keys) => {
      if (keys.length > 0) void load(keys);
      else kept.value = undefined;
    },
    { immediate: true },
  );
  feed.on({ reset: () => void (picked.value.length > 0 && load(picked.value)) });
  return kept;
}

function sum({ kept, setting }: Series): Kept {
  const all = Object.values(kept);
  const times = all.flatMap((one) => one.oldest ?? []);
  return {
    setting,
    oldest: times.length > 0 ? Math.min(...times) : undefined,
    atMost: Math.max(0, ...all.map((one) => one.at_most)),
    isFull: all.some((one) => one.samples >= one.at_most),
  };
}
