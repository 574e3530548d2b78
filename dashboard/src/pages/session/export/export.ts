// Files of samples: where they come from, and what they are called.
import { inPath } from "muster-client/rest";

export type Format = "csv" | "ndjson";

export const TYPES: Record<Format, string> = { csv: "text/csv", ndjson: "application/x-ndjson" };

/** Which samples; what is left out is not restricted. Times in milliseconds since 1970. */
export interface Part {
  readonly key?: string | undefined;
  readonly since?: number | undefined;
  readonly until?: number | undefined;
}

/** Return the path of the samples of a session. */
export function exportPath(sessionId: string, { key, since, until }: Part = {}): string {
  const query = new URLSearchParams();
  if (key !== undefined) query.set("keys", key);
  if (since !== undefined) query.set("since", new Date(since).toISOString());
  if (until !== undefined) query.set("until", new Date(until).toISOString());
  return `/sessions/${inPath(sessionId)}/data${query.size > 0 ? `?${query.toString()}` : ""}`;
}

/** What is offered as a time: name → words, and how far back in milliseconds. */
export const SPANS = [
  ["all", "All that is kept", undefined],
  ["hour", "The last hour", 3_600_000],
  ["day", "The last 24 hours", 86_400_000],
  ["between", "Between two times", undefined],
] as const;

export type SpanName = (typeof SPANS)[number][0];

/** Return the time of a choice; the two fields are local times as `datetime-local` has them, "" for no bound. */
export function spanOf(name: SpanName, from: string, to: string, now: number): Pick<Part, "since" | "until"> {
  if (name === "between") return { since: localMs(from), until: localMs(to) };
  const back = SPANS.find(([one]) => one === name)?.[2];
  return back === undefined ? {} : { since: now - back };
}

function localMs(text: string): number | undefined {
  const ms = new Date(text).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}

/** Return a name that every file system takes, and that leads nowhere else. */
export function fileName(sessionId: string, format: Format, now: Date): string {
  const name =
    sessionId
      .replace(/[^A-Za-z0-9._-]+/g, "_")
      .replace(/^[._-]+/, "")
      .slice(0, 80) || "session";
  const time = now.toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
  return `${name}-${time}Z.${format}`;
}
