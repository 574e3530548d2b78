// The view of the fleet page, kept in its address.
import { computed, type ComputedRef } from "vue";
import { useRoute, useRouter } from "vue-router";
import { readView, writeView, type View } from "./view";

export interface FleetView {
  readonly view: ComputedRef<View>;
  readonly change: (part: Partial<View>) => void;
}

export function useFleetView(): FleetView {
  const route = useRoute();
  const router = useRouter();
  const view = computed(() => readView(route.query));

  /** Change it in place: each letter of a search is no page to go back to. */
  function change(part: Partial<View>): void {
    void router.replace({ name: "fleet", query: writeView({ ...view.value, ...part }) });
  }

  return { view, change };
}
