// Lifecycle events in words, and the times in which a device was not there.
import { exactJson } from "@/client/exact";
import { toMs } from "@/client/times";
import type { Span } from "../charts/line";

/** An entry as the API has it; later versions may add events and fields. */
export interface RawEvent {
  readonly at: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

export interface Entry {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly event: string;
  readonly title: string;
  readonly tone: "good" | "bad" | "wait" | "idle";
  readonly reason: string | undefined;
  readonly node: string | undefined;
  readonly by: string | undefined;
  /** What else the entry says. */
  readonly more: readonly (readonly [name: string, value: string])[];
}

const KNOWN: Readonly<Record<string, readonly [title: string, tone: Entry["tone"]]>> = {
  created: ["Created", "idle"],
  connected: ["Connected", "good"],
  active: ["Active without a socket", "good"],
  superseded: ["Replaced by a later connection", "wait"],
  disconnected: ["Disconnected", "bad"],
  kicked: ["Disconnected by an operator", "bad"],
  lease_expired: ["Lost with its node", "bad"],
  inactive: ["Inactive", "bad"],
  archived: ["Archived", "idle"],
  restored: ["Restored from the archive", "idle"],
  setup_changed: ["Setup changed", "idle"],
  command_queued: ["Command queued", "wait"],
  command_sent: ["Command sent", "wait"],
  command_delivered: ["Command delivered", "wait"],
  command_succeeded: ["Command succeeded", "good"],
  command_failed: ["Command failed", "bad"],
  command_timed_out: ["Command timed out", "bad"],
  command_expired: ["Command expired", "bad"],
  command_cancelled: ["Command cancelled", "idle"],
};

const REASONS: Readonly<Record<string, string>> = {
  reclaimed: "its node still held the connection",
  lease_expired: "its node stopped renewing its lease",
  overdue: "no report in three times the interval that it promised",
  idle: "no activity for sessions.idle_after_s",
  http: "it reports over HTTP",
  undo: "a step back",
  redo: "a step forward again",
  again: "given again: Redis had lost later ones",
  imported: "imported from a file",
};

/** Return why something happened, in words. */
export function reasonWords(reason: string): string {
  return REASONS[reason] ?? KNOWN[reason]?.[0].toLowerCase() ?? reason.replaceAll("_", " ");
}

/** Fields that have a place of their own. */
const SHOWN = new Set(["at", "event", "reason", "node_id", "by"]);

/** Return the entries, newest first. */
export function entriesOf(events: readonly RawEvent[]): Entry[] {
  return events.map(entryOf).reverse();
}

function entryOf(raw: RawEvent): Entry {
  const [title, tone] = KNOWN[raw.event] ?? [raw.event.replaceAll("_", " "), "idle"];
  const reason = textOf(raw["reason"]);
  return {
    at: toMs(raw.at) ?? 0,
    event: raw.event,
    title,
    tone,
    reason: reason === undefined || reason === raw.event ? undefined : reasonWords(reason),
    node: textOf(raw["node_id"]),
    by: byOf(raw["by"]),
    more: Object.entries(raw).flatMap(([name, value]) => {
      const text = SHOWN.has(name) ? undefined : textOf(value);
      return text === undefined ? [] : [[name.replaceAll("_", " "), text] as const];
    }),
  };
}

/** Return who did it: "ana (operator, over REST)". */
export function byOf(by: unknown): string | undefined {
  if (typeof by !== "object" || by === null) return undefined;
  const { who, role, via } = by as { who?: unknown; role?: unknown; via?: unknown };
  const name = textOf(who);
  const ways: Readonly<Record<string, string>> = {
    rest: "over REST",
    socket: "over a socket",
    job: "in a job",
    cli: "on the command line",
  };
  const way = textOf(via);
  const parts = [textOf(role), way === undefined ? undefined : (ways[way] ?? way)].filter((part) => part !== undefined);
  if (name === undefined) return parts.length > 0 ? parts.join(", ") : undefined;
  return parts.length > 0 ? `${name} (${parts.join(", ")})` : name;
}

function textOf(value: unknown): string | undefined {
  if (value === null || value === undefined || value === "") return undefined;
  return typeof value === "string" ? value : exactJson(value);
}

const COMES = new Set(["connected", "active"]);
const GOES = new Set(["disconnected", "kicked", "lease_expired", "inactive"]);

/** Return the times without a device, in seconds since 1970; the last one is open if it is still away. */
export function spansAway(events: readonly RawEvent[]): Span[] {
  const spans: Span[] = [];
  let since: number | undefined;
  for (const { at, event } of events) {
    const seconds = (toMs(at) ?? 0) / 1000;
    if (GOES.has(event)) since ??= seconds;
    else if (COMES.has(event)) {
      if (since !== undefined) spans.push({ from: since, to: seconds });
      since = undefined;
    }
  }
  if (since !== undefined) spans.push({ from: since, to: Infinity });
  return spans;
}

/** Return who made a version of the setup; undefined: the timeline does not say. */
export function authorOf(events: readonly RawEvent[], version: number): string | undefined {
  const found = events.findLast((one) => one.event === "setup_changed" && one["version"] === version);
  return byOf(found?.["by"]);
}
