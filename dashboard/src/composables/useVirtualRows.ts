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
  /** Of the elements that show it. */
  readonly slot: number;
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

/** Elements of rows that are used again: to make new ones for rows that come takes longer than to fill old ones. */
export class Slots {
  /** By slot: the place of the row that it shows, or showed last. */
  readonly #places: number[] = [];

  /** Return a slot for each of these places; one that has one keeps it. */
  take(places: readonly number[]): number[] {
    const wanted = new Set(places);
    const held = new Map<number, number>();
    const free: number[] = [];
    for (const [slot, place] of this.#places.entries()) {
      if (wanted.has(place)) held.set(place, slot);
      else free.push(slot);
    }
    return places.map((place) => {
      const slot = held.get(place) ?? free.pop() ?? this.#places.length;
      this.#places[slot] = place;
      return slot;
    });
  }
}

/** `top`: how far it is scrolled to begin with, px. */
export function useVirtualRows(
  scroller: Ref<HTMLElement | undefined>,
  ids: Ref<readonly string[]>,
  top: number,
): VirtualRows {
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize) || 16;
  const rowPx = ROW_REM * rem;
  const isPrinting = ref(false);
  const virtualizer = useVirtualizer(
    computed(() => ({
      count: ids.value.length,
      getScrollElement: (): HTMLElement | null => scroller.value ?? null,
      estimateSize: (): number => rowPx,
      getItemKey: (index: number): string => ids.value[index] ?? String(index),
      initialOffset: top,
      overscan: 8,
      paddingStart: 0,
      scrollPaddingStart: rowPx, // the head covers it
    })),
  );

  const slots = new Slots();
  const rows = computed<readonly VirtualRow[]>(() => {
    if (isPrinting.value)
      return ids.value.slice(0, PRINTED).map((id, index) => ({ id, index, slot: index, transform: "none" }));
    const items = virtualizer.value.getVirtualItems().filter(({ index }) => index < ids.value.length);
    const taken = slots.take(items.map(({ index }) => index));
    return items.map(({ index, start }, at) => {
      const transform = `translateY(${start}px)`;
      return { id: ids.value[index] ?? "", index, slot: taken[at] ?? index, transform };
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
