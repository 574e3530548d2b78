// The part of the page that is shown, in the address.
import { computed, type WritableComputedRef } from "vue";
import { useRoute, useRouter } from "vue-router";

/** `values`: what may be shown, the first one if the address says nothing. */
export function useTab(values: () => readonly string[]): WritableComputedRef<string> {
  const route = useRoute();
  const router = useRouter();
  return computed({
    get: () => values().find((one) => one === route.query["tab"]) ?? values()[0] ?? "",
    set: (value) => {
      void router.replace({ query: { ...route.query, tab: value === values()[0] ? undefined : value } });
    },
  });
}
