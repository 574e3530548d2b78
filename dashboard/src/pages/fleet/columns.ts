// The columns of the fleet's table: how wide, how sorted, how shown.
import { isNumber } from "@/client/exact";
import type { Row } from "@/client/rows";
import { toMs } from "@/client/times";
import { visible } from "@/client/visible";
import { shortValue } from "./values";
import { VALUE } from "./view";

export interface FleetColumn {
  readonly id: string;
  readonly title: string;
  /** Of CSS grid. */
  readonly width: string;
  /** The same on a narrow screen, where names need what is left. */
  readonly narrow?: string;
  readonly isNumber?: boolean;
  /** Whether it changes by itself, all the time. */
  readonly isRestless?: boolean;
  readonly key: (row: Row) => string | number | bigint | undefined;
}

const FIXED: readonly FleetColumn[] = [
  { id: "state", title: "State", width: "7rem", narrow: "5.75rem", key: ({ summary }) => summary.state },
  {
    id: "name", title: "Name", width: "minmax(7.5rem, 1.5fr)",
    key: ({ summary }) => (summary.session_name || summary.session_id).toLowerCase(),
  },
  { id: "id", title: "Id", width: "minmax(8rem, 1.2fr)", key: ({ summary }) => summary.session_id.toLowerCase() },
  { id: "project", title: "Project", width: "minmax(6rem, 0.6fr)", key: ({ summary }) => summary.project_id },
  { id: "node", title: "Node", width: "minmax(7rem, 0.8fr)", key: ({ summary }) => summary.node_id ?? undefined },
  {
    id: "seen", title: "Last seen", width: "6rem", narrow: "5rem", isRestless: true, key: (row) => lastSeenMs(row),
  },
  {
    id: "rate", title: "Updates/s", width: "6rem", isNumber: true, isRestless: true,
    key: (row) => row.rate(performance.now()),
  },
  { id: "setup", title: "Setup", width: "7rem", key: ({ summary }) => setupState(summary) },
  { id: "commands", title: "Commands", width: "7rem", isNumber: true, key: ({ summary }) => summary.open_commands },
];

export const USUAL = ["state", "name", "id", "project", "node", "seen", "rate", "setup", "commands"];
export const USUAL_NARROW = ["state", "name", "seen"];
export const ALL = FIXED.map(({ id }) => id);

/** Return the columns with these ids; unknown ids are left out. */
export function columnsOf(ids: readonly string[], isNarrow = false): FleetColumn[] {
  return ids.flatMap((id) => {
    const column = FIXED.find((one) => one.id === id);
    if (column !== undefined) return { ...column, width: (isNarrow ? column.narrow : undefined) ?? column.width };
    return dataKey(id) === undefined ? [] : [valueColumn(id)];
  });
}

/** Return the data key of a column; undefined: it has none. */
export function dataKey(id: string): string | undefined {
  return id.startsWith(VALUE) && id.length > VALUE.length ? id.slice(VALUE.length) : undefined;
}

function valueColumn(id: string): FleetColumn {
  const name = dataKey(id) ?? "";
  const key = ({ values }: Row): string | number | bigint | undefined => {
    const value = values.get(name)?.[0];
    if (isNumber(value) || typeof value === "string" || value === undefined) return value;
    return shortValue(value); // to look further would take long, and nobody would see it
  };
  return { id, title: visible(name), width: "minmax(6rem, 0.8fr)", isRestless: true, key };
}

export function setupState({ setup_version: version, in_sync: isInSync }: Row["summary"]): string {
  if (version === 0) return "none";
  return isInSync ? "in sync" : "pending";
}

/** Return when a session last did something, as far as anybody knows; undefined: never. */
export function lastSeenMs({ summary, seenMs }: Row): number | undefined {
  return seenMs > 0 ? seenMs : toMs(summary.last_activity);
}
