// Which keys are drawn, in the address: `?key=temp&key=speed`; none there: the first numeric ones.
import { computed, type Ref, type ShallowRef } from "vue";
import { useRoute, useRouter } from "vue-router";
import type { Latest } from "../useLatest";
import { numberOf } from "./series";
import { MOST_KEYS } from "./useSeries";

/** Drawn where nobody has chosen. */
const FIRST_KEYS = 4;
/** In the address: nothing is drawn. */
const NONE = "";

export function numericKeys(latest: ReadonlyMap<string, Latest>): string[] {
  return [...latest].filter(([, { value }]) => numberOf(value) !== null).map(([key]) => key);
}

export function usePicked(latest: Readonly<ShallowRef<ReadonlyMap<string, Latest>>>): Ref<readonly string[]> {
  const route = useRoute();
  const router = useRouter();
  /** The same list as long as it says the same, so that nothing is read again. */
  let last: readonly string[] = [];
  return computed({
    get: () => {
      const given = route.query["key"];
      const keys = given === undefined ? numericKeys(latest.value).slice(0, FIRST_KEYS) : chosen(given);
      if (keys.length !== last.length || keys.some((key, index) => key !== last[index])) last = keys;
      return last;
    },
    set: (keys) => void router.replace({ query: { ...route.query, key: keys.length > 0 ? [...keys] : NONE } }),
  });
}

function chosen(given: unknown): string[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const keys = list.filter((key): key is string => typeof key === "string" && key !== NONE);
  return [...new Set(keys)].slice(0, MOST_KEYS);
}
