// The rows of a long list that are seen, and where they stand.
import { useVirtualizer } from "@tanstack/vue-virtual";
import { computed, onMounted, onUnmounted, ref, type ComputedRef, type Ref } from "vue";

/** Of the root's font size, as tokens.css has it. */
const ROW_REM = 2.5;
/** What is printed of a list: more would be paper for nobody. */
export const PRINTED = 500;

export interface VirtualRow {
  readonly id: string;
  readonly index: number;
  readonly transform: string;
}

export interface VirtualRows {
  readonly rows: ComputedRef<readonly VirtualRow[]>;
  /** Of all rows together. */
  readonly height: ComputedRef<string>;
  readonly scrollTo: (index: number) => void;
  /** Return how many rows are seen at once. */
  readonly pageRows: () => number;
}

export function useVirtualRows(scroller: Ref<HTMLElement | undefined>, ids: Ref<readonly string[]>): VirtualRows {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  const rowPx = ROW_REM * rem;
  const isPrinting = ref(false);
  const virtualizer = useVirtualizer(
    computed(() => ({
      count: ids.value.length,
      getScrollElement: (): HTMLElement | null => scroller.value ?? null,
      estimateSize: (): number => rowPx,
      getItemKey: (index: number): string => ids.value[index] ?? String(index),
      overscan: 8,
      paddingStart: 0,
      scrollPaddingStart: rowPx, // the head covers it
    })),
  );

  const rows = computed<readonly VirtualRow[]>(() => {
    if (isPrinting.value) return ids.value.slice(0, PRINTED).map((id, index) => ({ id, index, transform: "none" }));
    return virtualizer.value.getVirtualItems().flatMap(({ index, start }) => {
      const id = ids.value[index];
      return id === undefined ? [] : [{ id, index, transform: `translateY(${start}px)` }];
    });
  });

  const print = (): void => void (isPrinting.value = true);
  const printed = (): void => void (isPrinting.value = false);
  onMounted(() => {
    addEventListener("beforeprint", print);
    addEventListener("afterprint", printed);
  });
  onUnmounted(() => {
    removeEventListener("beforeprint", print);
    removeEventListener("afterprint", printed);
  });

  return {
    rows,
    height: computed(() => `${virtualizer.value.getTotalSize()}px`),
    scrollTo: (index) => virtualizer.value.scrollToIndex(index),
    pageRows: () => Math.max(1, Math.floor((scroller.value?.clientHeight ?? 0) / rowPx) - 2),
  };
}
