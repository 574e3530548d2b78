// The ids that the table shows, in order: of the live rows, or of the server's list.
import { computed, onScopeDispose, ref, watch, type ComputedRef, type Ref } from "vue";
import type { Row } from "@/client/rows";
import { useFleet } from "@/stores/fleet";
import { arrange, columnsOf } from "./columns";
import type { Choices } from "./toolbar";
import type { View } from "./view";

/** A list that is sorted by what changes all the time is put in order this often. */
const RESTLESS_MS = 1000;
/** Otherwise, after changes, not more often than this. */
const LEAST_MS = 200;

export interface FleetList {
  readonly ids: ComputedRef<readonly string[]>;
  readonly choices: ComputedRef<Choices>;
}

export function useFleetList(view: Ref<View>): FleetList {
  const fleet = useFleet();
  /** Rows are plain objects: this changes when they are to be looked at anew. */
  const lookedAt = ref(Date.now());
  let timer: ReturnType<typeof setTimeout> | undefined;

  function soon(afterMs: number): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      lookedAt.value = Date.now();
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

  const ids = computed(() => arrange(fleet.all(), view.value, lookedAt.value));
  const choices = computed(() => choicesOf(fleet.all(), view.value, lookedAt.value));
  return { ids, choices };
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
