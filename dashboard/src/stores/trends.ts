// Figures of the last minutes, for the small lines beside them.
import type { Counts, Stats } from "muster-client/rest_types";
import { defineStore } from "pinia";
import { onScopeDispose, ref, shallowRef } from "vue";
import { useAuth } from "./auth";
import { useClient } from "./client";
import { useConnection } from "./connection";
import { useFleet } from "./fleet";

const EVERY_MS = 2000;
const NODES_EVERY = 5; // of these
const KEPT = 90;

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
  const served = shallowRef<Counts>();
  let updatesThen = fleet.updates();
  let timeThen = performance.now();
  let turn = 0;

  function measure(): void {
    const now = performance.now();
    const isKnown = connection.state === "live" || connection.state === "conflated";
    const updates = ((fleet.updates() - updatesThen) / Math.max(1, now - timeThen)) * 1000;
    updatesThen = fleet.updates();
    timeThen = now;
    if (turn % NODES_EVERY === 0) void ask();
    turn += 1;
    const known = connection.isLarge ? served.value : connection.counts;
    const counts = isKnown ? known : undefined;
    const found: Record<Figure, number | undefined> = {
      active: counts?.active,
      inactive: counts?.inactive,
      archived: counts?.archived,
      nodes: isKnown ? nodes.value : undefined,
      updates: isKnown ? updates : undefined,
      commands: isKnown ? openCommands() : undefined,
    };
    const next = { ...trends.value };
    for (const name of Object.keys(found) as Figure[]) next[name] = [...next[name], found[name]].slice(-KEPT);
    trends.value = next;
  }

  /** Figures of the whole service, where they are allowed; otherwise the nodes that have one of our sessions. */
  async function ask(): Promise<void> {
    if (auth.may("viewer", "all")) {
      const found = await client.get<Stats>("/stats").catch(() => undefined);
      nodes.value = found?.nodes;
      served.value = found?.sessions;
      return;
    }
    const ids = new Set<string>();
    for (const [, { summary }] of fleet.all()) if (summary.node_id !== null) ids.add(summary.node_id);
    nodes.value = ids.size;
  }

  function openCommands(): number {
    let sum = 0;
    for (const [, { summary }] of fleet.all()) sum += summary.open_commands;
    return sum;
  }

  const timer = setInterval(measure, EVERY_MS);
  setTimeout(measure, 300);
  onScopeDispose(() => clearInterval(timer));

  return { trends };
});
