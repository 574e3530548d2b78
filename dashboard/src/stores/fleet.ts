// The rows of the fleet as they are now. They are plain objects: `tick` changes with each frame that changed one.
import type { Summary } from "muster-client";
import type { SessionsPage } from "muster-client/rest_types";
import { defineStore } from "pinia";
import { computed, ref, shallowRef, watch } from "vue";
import { Rows, type Row } from "@/client/rows";
import { useAuth } from "./auth";
import { useClient } from "./client";
import { useConnection } from "./connection";

const PAGE = 500;

export const useFleet = defineStore("fleet", () => {
  const connection = useConnection();
  const client = useClient();
  const auth = useAuth();
  const rows = new Rows();
  rows.reset(connection.snapshot.sessions);
  const tick = ref(0);
  /** Changes with every summary that came, went or changed. */
  const structure = ref(rows.structure);
  /** Why values of columns could not be fetched; undefined: they were. */
  const valuesError = shallowRef<unknown>();
  let wanted: readonly string[] = [];
  /** Of these, what was not fetched yet. */
  let missing: readonly string[] = [];
  let asked = 0;

  connection.subscribe((changes) => {
    rows.apply(changes, connection.snapshot.sessions, performance.now(), Date.now());
    structure.value = rows.structure;
    tick.value += 1;
    if (!changes.some((one) => one.kind === "reset")) return;
    missing = wanted;
    void fetchValues();
  });
  watch(
    () => auth.people,
    () => {
      rows.clear();
      structure.value = rows.structure;
      tick.value += 1;
    },
    { flush: "sync" },
  );
  // A page that nobody sees is woken seldom, and gets then what came in all that time.
  document.addEventListener("visibilitychange", () => rows.catchUp(performance.now()));

  /** Return the row of a session; who renders it does so again when sessions came or went. */
  const row = (id: string): Row | undefined => (structure.value < 0 ? undefined : rows.byId.get(id));
  const all = (): Iterable<[string, Row]> => rows.byId;
  const size = computed(() => (structure.value < 0 ? 0 : rows.byId.size));
  const updates = (): number => rows.updates;
  /** Since when all updates are counted as they happen; Infinity: they are not now. */
  const countsFrom = (): number => rows.countsFrom;
  const knownKeys = (): string[] => [...rows.keys].sort();

  /** Keep the latest values of these data keys, those of before too. */
  async function wantValues(keys: readonly string[]): Promise<void> {
    if (keys.length === wanted.length && keys.every((key) => wanted.includes(key))) return;
    missing = keys.filter((key) => missing.includes(key) || !wanted.includes(key));
    wanted = [...keys];
    rows.want(keys);
    await fetchValues();
  }

  /** Fetch latest values, page by page: ten thousand rows cost twenty requests. Longer lists bring their own. */
  async function fetchValues(): Promise<void> {
    const number = ++asked;
    const keys = missing;
    valuesError.value = undefined;
    if (keys.length === 0 || connection.isLarge) return;
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
      missing = [];
    } catch (error) {
      if (number === asked) valuesError.value = error;
    }
  }

  const summaries = (): ReadonlyMap<string, Summary> => connection.snapshot.sessions;

  return {
    tick, structure, valuesError, row, all, size, updates, countsFrom, knownKeys, summaries, wantValues, fetchValues,
  };
});
