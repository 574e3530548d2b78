// The server's list: of sessions that are not live here, because they are archived, or because there are too many.
import { computed, onScopeDispose, ref, shallowRef, watch, type ComputedRef, type Ref, type ShallowRef } from "vue";
import { asSummary } from "@/client/listed";
import { Row, valuesOf } from "@/client/rows";
import { useClient } from "@/stores/client";
import type { View } from "../view";

const PAGE = 500;
/** After the last letter of a search. */
const PAUSE_MS = 250;

/** Return what of a view the server looks at. */
const ofServer = ({ q, state, project, node }: View): readonly string[] => [q, state, project, node];

export interface ServerList {
  readonly rows: ShallowRef<ReadonlyMap<string, Row>>;
  readonly hasMore: ComputedRef<boolean>;
  readonly isLoading: Ref<boolean>;
  readonly error: ShallowRef<unknown>;
  /** Load the next page. */
  readonly more: () => Promise<void>;
  /** Load what could not be loaded. */
  readonly again: () => Promise<void>;
}

/** `keys`: of the values that are shown. */
export function useServerList(view: Ref<View>, isOn: Ref<boolean>, keys: Ref<readonly string[]>): ServerList {
  const client = useClient();
  const rows = shallowRef<ReadonlyMap<string, Row>>(new Map());
  const next = ref<string | null>(null);
  const isLoading = ref(false);
  const error = shallowRef<unknown>();
  let run = 0;
  let last: string | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Load from there on until something fits: the server looks at so many sessions per request, whatever it finds. */
  async function load(mine: number, cursor: string | null): Promise<void> {
    const { q, state, project, node } = view.value;
    const filters = {
      limit: PAGE,
      values: keys.value,
      ...(q === "" ? {} : { q }),
      ...(state === "" ? {} : { state }),
      ...(project === "" ? {} : { projectId: project }),
      ...(node === "" ? {} : { nodeId: node }),
    };
    isLoading.value = true;
    error.value = undefined;
    last = cursor;
    try {
      const found = new Map(cursor === null ? [] : rows.value);
      const before = found.size;
      let at = cursor;
      do {
        const from = at;
        const page = await client.consult((operator) => operator.page(filters, from));
        if (mine !== run) return;
        for (const one of page.sessions) {
          const row = new Row(asSummary(one));
          row.fill(one.rev, valuesOf(one));
          found.set(one.session_id, row);
        }
        at = page.next;
      } while (found.size === before && at !== null);
      [rows.value, next.value] = [found, at];
    } catch (failure) {
      if (mine === run) error.value = failure;
    } finally {
      if (mine === run) isLoading.value = false;
    }
  }

  watch(
    [isOn, (): string => JSON.stringify([ofServer(view.value), keys.value])],
    ([is]) => {
      const mine = ++run;
      clearTimeout(timer);
      if (is) timer = setTimeout(() => void load(mine, null), PAUSE_MS);
      else rows.value = new Map();
    },
    { immediate: true },
  );
  onScopeDispose(() => {
    run += 1;
    clearTimeout(timer);
  });

  const more = (): Promise<void> => load(run, next.value);
  const again = (): Promise<void> => load(run, last);
  return { rows, hasMore: computed(() => next.value !== null), isLoading, error, more, again };
}
