// The rows that were selected; they stay so when a filter hides them, and the page says it.
import { computed, shallowRef, type ComputedRef, type Ref, type ShallowRef } from "vue";

export interface Selection {
  readonly selected: ShallowRef<ReadonlySet<string>>;
  /** How many of them the list does not show. */
  readonly hidden: ComputedRef<number>;
  readonly select: (ids: readonly string[], isOn: boolean) => void;
  readonly clear: () => boolean;
}

export function useSelection(shown: Ref<readonly string[]>): Selection {
  const selected = shallowRef<ReadonlySet<string>>(new Set());
  const hidden = computed(() => {
    if (selected.value.size === 0) return 0;
    const seen = new Set(shown.value);
    return [...selected.value].filter((id) => !seen.has(id)).length;
  });

  function select(ids: readonly string[], isOn: boolean): void {
    const next = new Set(selected.value);
    for (const id of ids) {
      if (isOn) next.add(id);
      else next.delete(id);
    }
    selected.value = next;
  }

  function clear(): boolean {
    const had = selected.value.size > 0;
    selected.value = new Set();
    return had;
  }

  return { selected, hidden, select, clear };
}
