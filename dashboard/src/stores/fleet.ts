// The rows of the fleet as they are now. They are plain objects: `tick` changes with each frame that changed one.
import type { Summary } from "muster-client";
import type { SessionsPage } from "muster-client/rest_types";
import { defineStore } from "pinia";
import { computed, ref, shallowRef } from "vue";
import { Rows, type Row } from "@/client/rows";
import { useClient } from "./client";
import { useConnection } from "./connection";

const PAGE = 500;

export const useFleet = defineStore("fleet", () => {
  const connection = useConnection();
  const client = useClient();
  const rows = new Rows();
  rows.reset(connection.snapshot.sessions);
  const tick = ref(0);
  /** Changes with every summary that came, went or changed. */
  const structure = ref(rows.structure);
  /** Why values of columns could not be fetched; undefined: they were. */
  const valuesError = shallowRef<unknown>();
  let wanted: readonly string[] = [];
  let asked = 0;

  connection.subscribe((changes) => {
    rows.apply(changes, connection.snapshot.sessions, performance.now(), Date.now());
    structure.value = rows.structure;
    tick.value += 1;
    if (changes.some((one) => one.kind === "reset")) void fetchValues(wanted);
  });

  const row = (id: string): Row | undefined => rows.byId.get(id);
  const all = (): Iterable<[string, Row]> => rows.byId;
  const size = computed(() => (structure.value < 0 ? 0 : rows.byId.size));
  const updates = (): number => rows.updates;
  const knownKeys = (): string[] => [...rows.keys].sort();

  /** Keep the latest values of these data keys, those of before too. */
  async function wantValues(keys: readonly string[]): Promise<void> {
    const added = keys.filter((key) => !wanted.includes(key));
    wanted = [...keys];
    rows.want(keys);
    await fetchValues(added);
  }

  /** Fetch latest values, page by page: a table of ten thousand rows costs twenty requests. */
  async function fetchValues(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const number = ++asked;
    valuesError.value = undefined;
    try {
      let cursor: string | null = null;
      do {
        const query = new URLSearchParams({ limit: String(PAGE), ...(cursor === null ? {} : { cursor }) });
        for (const key of keys) query.append("values", key);
        const page: SessionsPage = await client.get<SessionsPage>(`/sessions?${query.toString()}`);
        if (number !== asked) return;
        for (const one of page.sessions) rows.fill(one);
        tick.value += 1;
        cursor = page.next;
      } while (cursor !== null);
    } catch (error) {
      if (number === asked) valuesError.value = error;
    }
  }

  const summaries = (): ReadonlyMap<string, Summary> => connection.snapshot.sessions;

  return { tick, structure, valuesError, row, all, size, updates, knownKeys, summaries, wantValues };
});
