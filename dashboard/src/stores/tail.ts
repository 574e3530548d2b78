// The live tail: the last changes of the whole fleet, while its page is open.
import type { Change, Fleet, FleetState } from "muster-client";
import { defineStore } from "pinia";
import { ref, shallowRef, watch } from "vue";
import { RowMaker, matcher, type Filter, type Kind, type Row } from "@/pages/tail/rows";
import { useAuth } from "./auth";
import { useClient } from "./client";

/** As many rows are kept, fewer of large values; of older ones only their number is known. */
export const MOST_ROWS = 10_000;
/** Characters of the rows that are kept. */
export const MOST_SIZE = 32 * 1024 * 1024;
/** So much more before they are cut off, so that this costs little per row. */
const SLACK = 1.5;
export const KINDS: readonly Exclude<Kind, "gap">[] = ["sample", "session", "command", "removed"];

export const useTail = defineStore("tail", () => {
  const auth = useAuth();
  const client = useClient();
  let fleet: Fleet | undefined;
  let maker = new RowMaker();
  let hasSnapshot = false; // of this connection, or rows of one before
  let kept: Row[] = [];
  let size = 0;
  const filter = shallowRef<Filter>({ words: "", kinds: new Set(KINDS) });
  const state = ref<FleetState>("connecting");
  /** What is shown; it stays as it is while the tail is paused. */
  const rows = shallowRef<readonly Row[]>([]);
  const isPaused = ref(false);
  /** Changes that came while the tail is paused. */
  const missed = ref(0);
  const total = ref(0);
  /** Whether older ones were cut off. */
  const isFull = ref(false);

  function start(): void {
    if (fleet !== undefined) return;
    hasSnapshot = kept.length > 0;
    const made = client.newFleet({ samples: "all" });
    fleet = made;
    made.subscribe((changes) => {
      if (fleet === made) take(made, changes);
    });
    made.start();
  }

  function stop(): void {
    const old = fleet;
    fleet = undefined;
    state.value = "connecting";
    void old?.stop();
  }

  function take(from: Fleet, changes: readonly Change[]): void {
    state.value = from.state;
    const news: Row[] = [];
    for (const change of changes) {
      if (change.kind === "reset") {
        maker.know(from.sessions);
        if (hasSnapshot) news.push(...maker.rows(change));
        hasSnapshot = true;
      } else news.push(...maker.rows(change));
    }
    if (news.length > 0) keep(news);
  }

  function keep(news: readonly Row[]): void {
    total.value += news.length;
    for (const row of news) kept.push(row);
    size += sizeOf(news);
    const isTooMuch = kept.length > SLACK * MOST_ROWS || size > SLACK * MOST_SIZE;
    if (isTooMuch) cutOff();
    if (isPaused.value) {
      missed.value += news.length;
      return;
    }
    if (isTooMuch) show();
    else {
      const wanted = news.filter(matcher(filter.value));
      if (wanted.length > 0) rows.value = [...rows.value, ...wanted];
    }
  }

  function cutOff(): void {
    kept = newest(kept);
    size = sizeOf(kept);
    isFull.value = true;
  }

  function show(): void {
    rows.value = kept.filter(matcher(filter.value));
  }

  function setFilter(wanted: Filter): void {
    filter.value = wanted;
    show();
  }

  function setPaused(wanted: boolean): void {
    isPaused.value = wanted;
    missed.value = 0;
    if (!wanted) show();
  }

  function clear(): void {
    kept = [];
    size = 0;
    isFull.value = false;
    rows.value = [];
    total.value = missed.value = 0;
  }

  watch(
    () => auth.people,
    () => {
      clear();
      maker = new RowMaker();
      hasSnapshot = false;
      setPaused(false);
      setFilter({ words: "", kinds: new Set(KINDS) });
    },
    { flush: "sync" },
  );

  return { rows, state, filter, isPaused, missed, total, isFull, start, stop, take, setFilter, setPaused, clear };
});

const sizeOf = (rows: readonly Row[]): number => rows.reduce((sum, row) => sum + row.size, 0);

/** Return the newest rows, as many as are kept. */
function newest(rows: readonly Row[]): Row[] {
  let first = rows.length;
  let size = 0;
  while (first > 0 && rows.length - first < MOST_ROWS) {
    size += rows[first - 1]?.size ?? 0;
    if (size > MOST_SIZE) break;
    first -= 1;
  }
  return rows.slice(first);
}
