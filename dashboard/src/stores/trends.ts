// Figures of the last minutes, for the small lines beside them.
import type { Nodes } from "muster-client/rest_types";
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
  let updatesThen = fleet.updates();
  let timeThen = performance.now();
  let turn = 0;

  function measure(): void {
    const now = performance.now();
    const isKnown = connection.state === "live" || connection.state === "conflated";
    const updates = ((fleet.updates() - updatesThen) / Math.max(1, now - timeThen)) * 1000;
    updatesThen = fleet.updates();
    timeThen = now;
    if (turn % NODES_EVERY === 0) void countNodes();
    turn += 1;
    const counts = isKnown ? connection.counts : undefined;
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

  /** Nodes are asked for, where that is allowed, and otherwise those that have one of our sessions. */
  async function countNodes(): Promise<void> {
    if (auth.may("viewer", "all")) {
      const found = await client.get<Nodes>("/nodes").catch(() => undefined);
      nodes.value = found?.nodes.length;
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
