// What the fleet page shows of the fleet, as its address says it.
import type { LocationQuery, LocationQueryRaw } from "vue-router";

export interface Sort {
  readonly by: string;
  readonly isDescending: boolean;
}

export interface View {
  readonly q: string;
  /** "": active and inactive ones. */
  readonly state: "" | "active" | "inactive" | "archived";
  readonly project: string;
  readonly node: string;
  /** Only what needs somebody: a setup that the device does not run yet, open commands. */
  readonly only: "" | "unsynced" | "commands";
  readonly sort: Sort;
  /** Ids of columns in their order; those of data keys begin with `value:`. undefined: the usual ones. */
  readonly columns: readonly string[] | undefined;
}

export const VALUE = "value:";
export const MOST_VALUES = 5;
export const USUAL_SORT: Sort = { by: "name", isDescending: false };
const STATES = ["active", "inactive", "archived"] as const;
const ONLY = ["unsynced", "commands"] as const;

export function readView(query: LocationQuery): View {
  const text = (name: string): string => {
    const found = query[name];
    const first = Array.isArray(found) ? found[0] : found;
    return first ?? "";
  };
  const columns = [query["col"] ?? []].flat().filter((one) => one !== null && one !== "");
  const sort = text("sort");
  return {
    q: text("q"),
    state: STATES.find((one) => one === text("state")) ?? "",
    project: text("project"),
    node: text("node"),
    only: ONLY.find((one) => one === text("only")) ?? "",
    sort: sort === "" ? USUAL_SORT : { by: sort.replace(/^-/, ""), isDescending: sort.startsWith("-") },
    columns: columns.length === 0 ? undefined : [...new Set(columns as string[])],
  };
}

/** Return the query of a view, without what is usual. */
export function writeView(view: View): LocationQueryRaw {
  const { sort, columns } = view;
  const isUsual = sort.by === USUAL_SORT.by && sort.isDescending === USUAL_SORT.isDescending;
  const query: LocationQueryRaw = {};
  for (const name of ["q", "state", "project", "node", "only"] as const) {
    if (view[name] !== "") query[name] = view[name];
  }
  if (!isUsual) query["sort"] = `${sort.isDescending ? "-" : ""}${sort.by}`;
  if (columns !== undefined) query["col"] = [...columns];
  return query;
}

/** Return whether anything is left out. */
export function isFiltered(view: View): boolean {
  return [view.q, view.state, view.project, view.node, view.only].some((one) => one !== "");
}
