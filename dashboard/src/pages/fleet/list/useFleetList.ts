// The ids that the table shows, in order: of the live rows, or of the server's list.
import { computed, onScopeDispose, watch, type ComputedRef, type Ref } from "vue";
import type { Row } from "@/client/rows";
import { useSteps } from "@/composables/useSteps";
import { useConnection } from "@/stores/connection";
import { useFleet } from "@/stores/fleet";
import { arrange } from "./arrange";
import { columnsOf } from "../columns";
import type { Choices } from "../toolbar";
import { useServerList, type ServerList } from "./useServerList";
import type { View } from "../view";

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
  /** Whether there is a list yet. */
  readonly isArranged: ComputedRef<boolean>;
}

/** `keys`: of the values that are shown. */
export function useFleetList(view: Ref<View>, keys: Ref<readonly string[]>): FleetList {
  const fleet = useFleet();
  const connection = useConnection();
  const isServed = computed(() => connection.isLarge || view.value.state === "archived");
  const server = useServerList(view, isServed, keys);
  /** What is live is newer than what the server listed, but begins without values. */
  function rowOf(id: string): Row | undefined {
    const [live, listed] = [fleet.row(id), server.rows.value.get(id)];
    if (live !== undefined && listed !== undefined) live.fill(-1, listed.values);
    return live ?? listed;
  }

  const { result, anew, again } = useSteps(() =>
    isServed.value ? arrange(served(), { ...view.value, q: "" }) : arrange(fleet.all(), view.value),
  );
  function* served(): Generator<[string, Row]> {
    for (const [id, row] of server.rows.value) yield [id, rowOf(id) ?? row];
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  function soon(afterMs: number): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      again();
    }, afterMs);
  }
  onScopeDispose(() => clearTimeout(timer));

  /** Before there is a snapshot nobody knows whether there is no session. */
  function arrangeIfKnown(): void {
    if (isServed.value || connection.isLoaded) anew();
  }
  arrangeIfKnown();
  watch([view, isServed, server.rows], arrangeIfKnown);
  watch(
    () => fleet.structure,
    () => soon(result.value === undefined ? 0 : LEAST_MS),
  );
  watch(
    () => fleet.tick,
    () => {
      if (columnsOf([view.value.sort.by])[0]?.isRestless === true) soon(RESTLESS_MS);
    },
  );
  watch(server.rows, (rows) => {
    if (connection.isLarge && view.value.state !== "archived") connection.watchOnly([...rows.keys()]);
  });

  const choices = computed((): Choices => {
    const { project, node } = view.value;
    return { projects: named(result.value?.projects, project), nodes: named(result.value?.nodes, node) };
  });
  return {
    ids: computed(() => result.value?.ids ?? []), choices, rowOf, isServed, server,
    isArranged: computed(() => result.value !== undefined),
  };
}

/** What is chosen stays a choice, also where no session has it now. */
function named(found: ReadonlySet<string> = new Set(), chosen = ""): string[] {
  return [...new Set([...found, chosen])].filter((one) => one !== "").sort();
}
