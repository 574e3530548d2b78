// Files of samples: where they come from, and what they are called.
import { inPath } from "muster-client/rest";

export type Format = "csv" | "ndjson";

export const TYPES: Record<Format, string> = { csv: "text/csv", ndjson: "application/x-ndjson" };

/** Return the path of the samples of a session, of all its keys or of one. */
export function exportPath(sessionId: string, key?: string): string {
  return `/sessions/${inPath(sessionId)}/data${key === undefined ? "" : `/${inPath(key)}`}`;
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
