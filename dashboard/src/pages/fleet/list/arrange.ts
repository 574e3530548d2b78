// Which rows the table shows, in which order: found in steps, so that ten thousand of them hold nothing up.
import type { Row } from "@/client/rows";
import { columnsOf, setupState } from "../columns";
import type { Sort, View } from "../view";

export interface Arranged {
  /** Of the rows that fit, in order. */
  readonly ids: readonly string[];
  /** Of all rows. */
  readonly projects: ReadonlySet<string>;
  readonly nodes: ReadonlySet<string>;
}

interface Keyed {
  readonly id: string;
  readonly key: string | number | bigint | undefined;
}

/** Rows of one step. */
const STEP = 256;

/** Find the rows that fit, and put them in order; whoever runs it may do something else at each `yield`. */
export function* arrange(rows: Iterable<[string, Row]>, view: View): Generator<undefined, Arranged> {
  const [projects, nodes] = [new Set<string>(), new Set<string>()];
  const q = view.q.normalize("NFC").toLowerCase();
  const key = columnsOf([view.sort.by])[0]?.key;
  const order = orderOf(view.sort);
  const runs: Keyed[][] = [];
  let run: Keyed[] = [];
  let seen = 0;
  for (const [id, row] of rows) {
    projects.add(row.summary.project_id);
    nodes.add(row.summary.node_id ?? "");
    if (fits(row, view, q)) run.push({ id, key: key?.(row) });
    if (run.length === STEP) {
      runs.push(run.sort(order));
      run = [];
    }
    seen += 1;
    if (seen % STEP === 0) yield;
  }
  runs.push(run.sort(order));
  const ids = (yield* merged(runs, order)).map((one) => one.id);
  return { ids, projects, nodes };
}

function fits(row: Row, { state, project, node, only }: View, q: string): boolean {
  const { summary } = row;
  if (state !== "" && summary.state !== state) return false;
  if (project !== "" && summary.project_id !== project) return false;
  if (node !== "" && summary.node_id !== node) return false;
  if (only === "unsynced" && setupState(summary) !== "pending") return false;
  if (only === "commands" && summary.open_commands === 0) return false;
  return q === "" || row.text.includes(q);
}

type Order = (a: Keyed, b: Keyed) => number;

/** Rows without a value come last, in either direction; equal ones by id, so that they stand still. */
function orderOf(sort: Sort): Order {
  const sign = sort.isDescending ? -1 : 1;
  return (a, b) => {
    if (a.key === b.key) return a.id < b.id ? -1 : 1;
    if (a.key === undefined) return 1;
    if (b.key === undefined) return -1;
    if ((typeof a.key === "string") !== (typeof b.key === "string")) return typeof a.key === "string" ? 1 : -1;
    return a.key < b.key ? -sign : sign;
  };
}

/** Merge runs that are in order each, two by two. */
function* merged(runs: readonly Keyed[][], order: Order): Generator<undefined, readonly Keyed[]> {
  let left = runs;
  while (left.length > 1) {
    const next: Keyed[][] = [];
    for (let index = 0; index < left.length; index += 2) {
      next.push(yield* mergedTwo(left[index] ?? [], left[index + 1] ?? [], order));
    }
    left = next;
  }
  return left[0] ?? [];
}

function* mergedTwo(one: readonly Keyed[], other: readonly Keyed[], order: Order): Generator<undefined, Keyed[]> {
  const both: Keyed[] = [];
  let [first, second] = [0, 0];
  while (first < one.length || second < other.length) {
    const [a, b] = [one[first], other[second]];
    if (a !== undefined && (b === undefined || order(a, b) < 0)) {
      both.push(a);
      first += 1;
    } else if (b !== undefined) {
      both.push(b);
      second += 1;
    }
    if (both.length % STEP === 0) yield;
  }
  return both;
}
