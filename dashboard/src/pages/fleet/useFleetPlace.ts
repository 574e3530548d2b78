// Where a reader was in the list of the fleet, so that it is there again after a look at a session.
import { useRoute } from "vue-router";
import type { TablePlace } from "@/components/table/table";

export interface FleetPlace {
  /** Where to begin; undefined: at the top. */
  readonly start: TablePlace | undefined;
  readonly leave: (path: string, place: TablePlace | undefined) => void;
}

/** Of the list that was left last; another search or order is another list. */
let left: { readonly path: string; readonly place: TablePlace | undefined } | undefined;

export function useFleetPlace(): FleetPlace {
  const path = useRoute().fullPath;
  return {
    start: left?.path === path ? left.place : undefined,
    leave: (from, place) => {
      left = { path: from, place };
    },
  };
}
