// Changes of the fleet as rows of the live tail.
import type { Change, Summary } from "muster-client";
import { exactJson } from "@/client/exact";

export type Kind = "sample" | "session" | "removed" | "command" | "gap";

export interface Row {
  readonly number: number;
  /** Seconds since 1970: of the change, or of when it came. */
  readonly at: number;
  readonly kind: Kind;
  /** "": it is of the whole fleet. */
  readonly sessionId: string;
  readonly text: string;
  /** Characters of all that the row keeps. */
  readonly size: number;
  /** What a download has of it. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Of a session, what is told when it changes. */
const TOLD = [
  "state", "node_id", "disconnect_reason", "setup_version", "in_sync", "active_clients", "open_commands",
  "session_name", "project_id",
] as const;
const LONGEST = 400;

/** Makes rows of changes; remembers what it knows of each session, to tell what is new. */
export class RowMaker {
  #last = 0;
  readonly #known = new Map<string, Summary>();

  constructor(private readonly nowS: () => number = () => Date.now() / 1000) {}

  /** Take what is there as known, so that only changes from now on are told. */
  know(sessions: ReadonlyMap<string, Summary>): void {
    this.#known.clear();
    for (const [id, summary] of sessions) this.#known.set(id, summary);
  }

  rows(change: Change): Row[] {
    switch (change.kind) {
      case "samples":
        return change.samples.map(([key, value, ts]) =>
          this.#row("sample", change.sessionId, ts, `${key} = ${shown(value)}`, {
            key, value, ts, rev: change.rev, ...(change.isConflated ? { conflated: true } : {}),
          }),
        );
      case "changed":
        return this.#changed(change.sessionId, change.summary);
      case "removed":
        this.#known.delete(change.sessionId);
        return [this.#row("removed", change.sessionId, this.nowS(), "left the fleet or was deleted", {})];
      case "command": {
        const { command, status, at } = change.command;
        return [this.#row("command", change.sessionId, at, `${command}: ${status}`, { ...change.command })];
      }
      case "reset":
        return [this.#row("gap", "", this.nowS(), "began from a new snapshot: changes before it are not here", {})];
      case "state":
        return [];
    }
  }

  #changed(sessionId: string, summary: Summary): Row[] {
    const before = this.#known.get(sessionId);
    this.#known.set(sessionId, summary);
    const news = TOLD.filter((field) => before?.[field] !== summary[field]);
    if (before !== undefined && news.length === 0) return [];
    const fields = before === undefined ? (["state", "node_id"] as const) : news;
    const text = fields.map((field) => `${field.replaceAll("_", " ")} ${shown(summary[field])}`).join(", ");
    return [this.#row("session", sessionId, this.nowS(), before === undefined ? `new: ${text}` : text, { ...summary })];
  }

  #row(kind: Kind, sessionId: string, at: number, text: string, about: Row["about"]): Row {
    this.#last += 1;
    const short = text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
    return { number: this.#last, at, kind, sessionId, text: short, size: text.length, about };
  }
}

function shown(value: unknown): string {
  if (typeof value === "string") return value === "" ? "“”" : value;
  return exactJson(value);
}

export interface Filter {
  /** Parts of words, in any letter case; each must be in the id or the text. */
  readonly words: string;
  readonly kinds: ReadonlySet<Kind>;
}

/** Return what tells whether a row is wanted. */
export function matcher({ words, kinds }: Filter): (row: Row) => boolean {
  const sought = words.toLowerCase().split(/\s+/).filter((one) => one !== "");
  return (row) => {
    if (row.kind !== "gap" && !kinds.has(row.kind)) return false;
    if (sought.length === 0 || row.kind === "gap") return true;
    const text = `${row.sessionId} ${row.text}`.toLowerCase();
    return sought.every((one) => text.includes(one));
  };
}

/** Return rows as NDJSON, one object per line. */
export function toNdjson(rows: readonly Row[]): string {
  return rows
    .map(({ at, kind, sessionId, about }) => `${exactJson({ at, kind, session_id: sessionId, ...about })}\n`)
    .join("");
}
