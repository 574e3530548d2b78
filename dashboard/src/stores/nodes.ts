// The nodes of the service, and the service in figures.
import type { Node, Nodes, Stats } from "muster-client/rest_types";
import { defineStore } from "pinia";
import { useClient } from "./client";

export interface Service {
  readonly nodes: readonly Node[];
  readonly stats: Stats;
}

export const useNodes = defineStore("nodes", () => {
  const client = useClient();

  async function load(): Promise<Service> {
    const [{ nodes }, stats] = await Promise.all([client.get<Nodes>("/nodes"), client.get<Stats>("/stats")]);
    return { nodes: nodes.toSorted((a, b) => (a.node_id < b.node_id ? -1 : 1)), stats };
  }

  return { load };
});
