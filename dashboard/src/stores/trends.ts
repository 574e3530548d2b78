// Figures of the last minutes, for the small lines beside them.
import type { Stats } from "muster-client/rest_types";
import { defineStore } from "pinia";
import { onScopeDispose, ref, shallowRef, watch } from "vue";
import { useAuth } from "./auth";
import { useClient } from "./client";
import { useConnection } from "./connection";
import { useFleet } from "./fleet";

const EVERY_MS = 2000;
/** Of a shorter time one batch more or less would be a good part. */
const LEAST_MS = 1500;
const NODES_EVERY = 5; // of these
const KEPT = 90;
/** Of these, after everything is current again, until what waited meanwhile has come. */
const SETTLED = 3;

export type Figure = "active" | "inactive" | "archived" | "nodes" | "updates" | "commands";
/** undefined: not known then. */
export type Trend = readonly (number | undefined)[];

const NONE: Readonly<Record<Figure, Trend>> = {
  active: [], inactive: [], archived: [], nodes: [], updates: [], commands: [],
};

export const useTrends = defineStore("trends", () => {
  const auth = useAuth();
  const client = useClient();
  const connection = useConnection();
  const fleet = useFleet();
  const trends = shallowRef(NONE);
  const nodes = ref<number>();
  /** Of the whole service, where the fleet is too large to be watched. */
  const served = shallowRef<Stats>();
  const servedPerS = ref<number>();
  let base: Stats | undefined; // what `servedPerS` is counted from
  let updatesThen = fleet.updates();
  let timeThen = performance.now();
  let turn = 0;
  let wasCurrent = false;
  let unsettled = 0; // turns until everything has come that waited
  let measuredAt = performance.now();

  function measure(): void {
    const now = performance.now();
    const isKnown = connection.isCurrent;
    const isRateKnown = isKnown && wasCurrent; // what comes after a while all at once is no rate
    if (isKnown) unsettled = Math.max(0, unsettled - 1);
    else if (wasCurrent) [unsettled, base] = [SETTLED, undefined];
    wasCurrent = isKnown;
    const updates = connection.isLarge ? servedPerS.value : updatesPerS(now);
    if (turn % NODES_EVERY === 0) void ask();
    turn += 1;
    const known = connection.isLarge ? served.value?.sessions : connection.counts;
    const counts = isKnown ? known : undefined;
    const found: Record<Figure, number | undefined> = {
      active: counts?.active,
      inactive: counts?.inactive,
      archived: counts?.archived,
      nodes: isKnown ? nodes.value : undefined,
      updates: isRateKnown ? updates : undefined,
      commands: isKnown && !connection.isLarge ? openCommands() : undefined,
    };
    // A page that nobody sees is woken seldom: what was not measured leaves a gap, and does not shorten the time.
    const length = Math.min(KEPT, Math.max(0, Math.round((now - measuredAt) / EVERY_MS) - 1));
    const gap = Array.from({ length }, () => undefined);
    measuredAt = now;
    const next = { ...trends.value };
    for (const name of Object.keys(found) as Figure[]) next[name] = [...next[name], ...gap, found[name]].slice(-KEPT);
    trends.value = next;
  }

  /** Since the last call; undefined: in a part of that time they were not counted, or it was too short. */
  function updatesPerS(now: number): number | undefined {
    const sinceMs = now - timeThen;
    if (sinceMs < LEAST_MS) return undefined;
    const isCounted = timeThen >= fleet.countsFrom();
    const updates = fleet.updates() - updatesThen;
    updatesThen = fleet.updates();
    timeThen = now;
    return isCounted ? (updates / sinceMs) * 1000 : undefined;
  }

  /** Figures of the whole service, where they are allowed; otherwise the nodes that have one of our sessions. */
  async function ask(): Promise<void> {
    if (auth.may("viewer", "all")) {
      const found = await client.get<Stats>("/stats").catch(() => undefined);
      nodes.value = found?.nodes;
      servedPerS.value = samplesPerS(base, found);
      base = unsettled === 0 ? found : undefined;
      served.value = found;
      return;
    }
    if (connection.isLarge) return; // of a part of our sessions it would be wrong
    const ids = new Set<string>();
    for (const [, { summary }] of fleet.all()) if (summary.node_id !== null) ids.add(summary.node_id);
    nodes.value = ids.size;
  }

  function openCommands(): number {
    let sum = 0;
    for (const [, { summary }] of fleet.all()) sum += summary.open_commands;
    return sum;
  }

  function clear(): void {
    trends.value = NONE;
    nodes.value = served.value = servedPerS.value = base = undefined;
  }

  /** Nobody waits for the timer. */
  function measureNow(): void {
    turn = 0;
    measure();
  }

  const timer = setInterval(measure, EVERY_MS);
  watch(() => auth.people, clear, { flush: "sync" });
  watch(() => connection.counts !== undefined, measureNow, { immediate: true });
  onScopeDispose(() => clearInterval(timer));

  return { trends };
});

/** Return what all nodes stored between two answers; undefined: a node was restarted, or there was no answer. */
function samplesPerS(before: Stats | undefined, after: Stats | undefined): number | undefined {
  if (before === undefined || after === undefined) return undefined;
  const seconds = (Date.parse(after.time) - Date.parse(before.time)) / 1000;
  const samples = after.samples_stored - before.samples_stored;
  return seconds > 0 && samples >= 0 ? samples / seconds : undefined;
}
