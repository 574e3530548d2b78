// The commands of a session: as they were listed, and as their statuses change.
import type { Command, CommandUpdate } from "muster-client";

export type Status = Command["status"];

/** A command as the console shows it. */
export interface Entry {
  readonly id: string;
  readonly command: string;
  /** undefined: not known, because only an update was seen. */
  readonly params: unknown;
  readonly hasParams: boolean;
  readonly status: Status;
  readonly attempt: number | undefined;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly endsAt: number | undefined;
  readonly result: unknown;
  readonly error: unknown;
  /** The statuses that were seen as they came, oldest first. */
  readonly steps: readonly { readonly status: Status; readonly at: number }[];
}

export type Entries = ReadonlyMap<string, Entry>;

const RANK: Record<Status, number> = {
  queued: 0,
  sent: 1,
  delivered: 2,
  succeeded: 3,
  failed: 3,
  expired: 3,
  timed_out: 3,
  cancelled: 3,
};

/** Most commands that a page keeps; the service keeps 100 finished ones and 100 open ones. */
const MOST_ENTRIES = 300;

export function isFinal(status: Status): boolean {
  return RANK[status] === 3;
}

/** Take a list of the service, or one command of it. */
export function listed(entries: Entries, commands: readonly Command[]): Entries {
  let found = entries;
  for (const one of commands) {
    const entry: Entry = {
      id: one.command_id,
      command: one.command,
      params: one.params,
      hasParams: true,
      status: one.status,
      attempt: one.attempt,
      createdAt: Date.parse(one.created_at),
      updatedAt: Date.parse(one.updated_at),
      endsAt: Date.parse(one.ends_at),
      result: one.result,
      error: one.error,
      steps: [],
    };
    found = put(found, entry);
  }
  return found;
}

/** Leave out which of these are open and not in a list of the service. */
export function withoutLost(entries: Entries, doubted: readonly string[], commands: readonly Command[]): Entries {
  const kept = new Set(commands.map((one) => one.command_id));
  const isLost = ({ id, status }: Entry): boolean => doubted.includes(id) && !isFinal(status) && !kept.has(id);
  return new Map([...entries].filter(([, entry]) => !isLost(entry)));
}

/** Take a status as it happens. */
export function updated(entries: Entries, update: CommandUpdate): Entries {
  const known = entries.get(update.command_id);
  const at = update.at * 1000;
  const entry: Entry = {
    id: update.command_id,
    command: update.command,
    params: known?.params,
    hasParams: known?.hasParams ?? false,
    status: update.status,
    attempt: known?.attempt,
    createdAt: known?.createdAt ?? at,
    updatedAt: at,
    endsAt: known?.endsAt,
    result: update.result === undefined ? known?.result : update.result,
    error: update.error === undefined ? known?.error : update.error,
    steps: [],
  };
  return put(entries, entry);
}

/** Answers and events overtake each other: a status never goes back, and what was known is not forgotten. */
function put(entries: Entries, entry: Entry): Entries {
  const known = entries.get(entry.id);
  const isOlder = known !== undefined && RANK[entry.status] < RANK[known.status];
  const base = isOlder ? known : entry;
  const merged: Entry = {
    ...base,
    params: entry.hasParams ? entry.params : known?.params,
    hasParams: entry.hasParams || known?.hasParams === true,
    attempt: Math.max(entry.attempt ?? 0, known?.attempt ?? 0) || undefined,
    createdAt: Math.min(entry.createdAt, known?.createdAt ?? Infinity),
    endsAt: entry.endsAt ?? known?.endsAt,
    steps: withStep(known?.steps ?? [], entry),
  };
  const next = new Map(entries).set(entry.id, merged);
  if (next.size > MOST_ENTRIES) {
    const oldest = newestFirst(next)
      .filter((one) => isFinal(one.status))
      .at(-1);
    if (oldest !== undefined) next.delete(oldest.id);
  }
  return next;
}

function withStep(steps: Entry["steps"], { status, updatedAt }: Entry): Entry["steps"] {
  if (steps.some((step) => step.status === status)) return steps;
  return [...steps, { status, at: updatedAt }].sort((one, other) => RANK[one.status] - RANK[other.status]);
}

export function newestFirst(entries: Entries): Entry[] {
  return [...entries.values()].sort((one, other) => other.createdAt - one.createdAt || other.id.localeCompare(one.id));
}

/** Return the names of commands, those used last first; `remembered`: names of before. */
export function namesOf(entries: Entries, remembered: readonly string[] = []): string[] {
  return [...new Set([...newestFirst(entries).map((entry) => entry.command), ...remembered])];
}
