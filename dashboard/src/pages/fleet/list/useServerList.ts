// The server's list: of sessions that are not live here, because they are archived, or because there are too many.
import { computed, onScopeDispose, ref, shallowRef, watch, type ComputedRef, type Ref, type ShallowRef } from "vue";
import { asSummary } from "@/client/listed";
import { Row } from "@/client/rows";
import { useClient } from "@/stores/client";
import type { View } from "../view";

const PAGE = 500;
/** After the last letter of a search. */
const PAUSE_MS = 250;

export interface ServerList {
  readonly rows: ShallowRef<ReadonlyMap<string, Row>>;
  readonly hasMore: ComputedRef<boolean>;
  readonly isLoading: Ref<boolean>;
  readonly error: ShallowRef<unknown>;
  /** Load the next page. */
  readonly more: () => Promise<void>;
}

export function useServerList(view: Ref<View>, isOn: Ref<boolean>): ServerList {
  const client = useClient();
  const rows = shallowRef<ReadonlyMap<string, Row>>(new Map());
  const next = ref<string | null>(null);
  const isLoading = ref(false);
  const error = shallowRef<unknown>();
  let run = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  /** Load from there on until something fits: the server looks at so many sessions per request, whatever it finds. */
  async function load(mine: number, cursor: string | null): Promise<void> {
    const { q, state, project, node } = view.value;
    const filters = {
      limit: PAGE,
      ...(q === "" ? {} : { q }),
      ...(state === "" ? {} : { state }),
      ...(project === "" ? {} : { projectId: project }),
      ...(node === "" ? {} : { nodeId: node }),
    };
    isLoading.value = true;
    try {
      const found = new Map(cursor === null ? [] : rows.value);
      const before = found.size;
      let at = cursor;
      do {
        const from = at;
        const page = await client.operate((operator) => operator.page(filters, from));
        if (mine !== run) return;
        for (const one of page.sessions) found.set(one.session_id, new Row(asSummary(one)));
        at = page.next;
      } while (found.size === before && at !== null);
      [rows.value, next.value, error.value] = [found, at, undefined];
    } catch (failure) {
      if (mine === run) error.value = failure;
    } finally {
      if (mine === run) isLoading.value = false;
    }
  }

  watch(
    [isOn, (): string => JSON.stringify([view.value.q, view.value.state, view.value.project, view.value.node])],
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
  return { rows, hasMore: computed(() => next.value !== null), isLoading, error, more };
}
