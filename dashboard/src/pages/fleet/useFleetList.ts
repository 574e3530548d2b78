// The ids that the table shows, in order: of the live rows, or of the server's list.
import { computed, onScopeDispose, ref, watch, type ComputedRef, type Ref } from "vue";
import type { Row } from "@/client/rows";
import { useConnection } from "@/stores/connection";
import { useFleet } from "@/stores/fleet";
import { arrange, columnsOf } from "./columns";
import type { Choices } from "./toolbar";
import { useServerList, type ServerList } from "./useServerList";
import type { View } from "./view";

/** A list that is sorted by what changes all the time is put in order this often. */
const RESTLESS_MS = 1000;
/** Otherwise, after changes, not more often than this. */
const LEAST_MS = 200;

export interface FleetList {
  readonly ids: ComputedRef<readonly string[]>;
  readonly choices: ComputedRef<Choices>;
  readonly rowOf: (id: string) => Row | undefined;
  /** Whether the server searches, because not everything is loaded. */
  readonly isServed: ComputedRef<boolean>;
  readonly server: ServerList;
}

export function useFleetList(view: Ref<View>): FleetList {
  const fleet = useFleet();
  const connection = useConnection();
  /** Rows are plain objects: this changes when they are to be looked at anew. */
  const lookedAt = ref(0);
  let timer: ReturnType<typeof setTimeout> | undefined;

  function soon(afterMs: number): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      lookedAt.value += 1;
    }, afterMs);
  }

  watch(
    () => fleet.structure,
    () => soon(LEAST_MS),
  );
  watch(
    () => fleet.tick,
    () => {
      if (columnsOf([view.value.sort.by])[0]?.isRestless === true) soon(RESTLESS_MS);
    },
  );
  onScopeDispose(() => clearTimeout(timer));

  const isServed = computed(() => connection.isLarge || view.value.state === "archived");
  const server = useServerList(view, isServed);
  /** What is live is newer than what the server listed. */
  const rowOf = (id: string): Row | undefined => fleet.row(id) ?? server.rows.value.get(id);
  const served = computed(() => [...server.rows.value.keys()].map((id): [string, Row] => [id, rowOf(id) as Row]));

  const ids = computed(() => {
    const loaded = isServed.value ? served.value : fleet.all();
    return arrangeAt(lookedAt.value, loaded, isServed.value ? { ...view.value, q: "" } : view.value);
  });
  const choices = computed(() => choicesOf(isServed.value ? served.value : fleet.all(), view.value, lookedAt.value));
  watch(server.rows, (rows) => {
    if (connection.isLarge && view.value.state !== "archived") connection.watchOnly([...rows.keys()]);
  });
  return { ids, choices, rowOf, isServed, server };
}

function arrangeAt(_at: number, rows: Iterable<[string, Row]>, view: View): string[] {
  return arrange(rows, view);
}

function choicesOf(rows: Iterable<[string, Row]>, view: View, _at: number): Choices {
  // What is chosen stays a choice, also where no session has it now.
  const projects = new Set([view.project]);
  const nodes = new Set([view.node]);
  for (const [, { summary }] of rows) {
    projects.add(summary.project_id);
    nodes.add(summary.node_id ?? "");
  }
  const named = (found: Set<string>): string[] => [...found].filter((one) => one !== "").sort();
  return { projects: named(projects), nodes: named(nodes) };
}
