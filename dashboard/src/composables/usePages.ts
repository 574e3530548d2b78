// A list that the API gives page by page, in an order that does not change meanwhile.
import { onScopeDispose, ref, shallowRef, type Ref } from "vue";

export interface Page<T> {
  readonly items: readonly T[];
  /** null: this is the last page. */
  readonly next: string | null;
  /** null: not known. */
  readonly total: number | null;
}

export interface Pages<T> {
  readonly items: Ref<readonly T[]>;
  readonly total: Readonly<Ref<number | null>>;
  readonly hasMore: Readonly<Ref<boolean>>;
  readonly isLoading: Readonly<Ref<boolean>>;
  readonly error: Readonly<Ref<unknown>>;
  /** Begin again, as with another filter; what is shown stays until the answer is there. */
  readonly restart: () => Promise<void>;
  readonly more: () => Promise<void>;
}

/** A page of a filtered list may be empty and have a next one: so many are read before a person is asked. */
const EMPTY_PAGES = 20;

export function usePages<T>(
  load: (cursor: string | undefined) => Promise<Page<T>>,
  keyOf: (item: T) => string,
): Pages<T> {
  const items = shallowRef<readonly T[]>([]);
  const total = ref<number | null>(null);
  const hasMore = ref(false);
  const isLoading = ref(false);
  const error = shallowRef<unknown>();
  let cursor: string | undefined;
  let current = 0;

  async function read(from: string | undefined, isNew: boolean): Promise<void> {
    const mine = ++current;
    isLoading.value = true;
    error.value = undefined;
    try {
      let at = from;
      for (let turn = 0; turn < EMPTY_PAGES; turn += 1) {
        const page = await load(at);
        if (mine !== current) return; // another filter is asked for by now
        items.value = merged(isNew && turn === 0 ? [] : items.value, page.items, keyOf);
        total.value = page.total;
        cursor = page.next ?? undefined;
        hasMore.value = cursor !== undefined;
        if (page.items.length > 0 || cursor === undefined) break;
        at = cursor;
      }
    } catch (failure) {
      if (mine === current) error.value = failure;
    }
    if (mine === current) isLoading.value = false;
  }

  onScopeDispose(() => (current += 1));
  void read(undefined, true);
  return {
    items, total, hasMore, isLoading, error,
    restart: () => read(undefined, true),
    more: async () => {
      if (!isLoading.value && cursor !== undefined) await read(cursor, false);
    },
  };
}

/** What changes its state meanwhile may be on two pages: the later entry is right. */
function merged<T>(before: readonly T[], page: readonly T[], keyOf: (item: T) => string): readonly T[] {
  return [...new Map([...before, ...page].map((item) => [keyOf(item), item])).values()];
}
