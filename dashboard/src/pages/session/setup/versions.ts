// Setups as the service has them, exactly as they were written.
import { inPath } from "muster-client/rest";
import { formatJson, Num, parseJson, type Json } from "@/client/json";

export interface Version {
  readonly version: number;
  readonly value: Json;
  readonly text: string;
  /** ISO 8601. */
  readonly at: string | undefined;
  /** The version that the device runs, as it reported; 0: it reported none. */
  readonly reported: number;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
}

export function setupPath(sessionId: string): string {
  return `/sessions/${inPath(sessionId)}/setup`;
}

/** Read the answer of any route of setups. */
export function readVersion(answer: string): Version {
  const parsed = parseJson(answer, Infinity);
  if (!parsed.ok || !(parsed.value instanceof Map)) throw new Error("the answer is no setup");
  const field = (name: string): Json => (parsed.value as Map<string, Json>).get(name) ?? null;
  const number = (name: string): number => {
    const found = field(name);
    return found instanceof Num ? Number(found.source) : 0;
  };
  const value = field("setup");
  const at = field("setup_timestamp");
  return {
    version: number("setup_version"),
    value,
    text: textOf(value),
    at: typeof at === "string" ? at : undefined,
    reported: number("reported_version"),
    canUndo: field("undo_available") === true,
    canRedo: field("redo_available") === true,
  };
}

/** Return a setup as it is edited; none is an empty object to begin with. */
export function textOf(value: Json | undefined): string {
  return value === null || value === undefined ? "{}" : formatJson(value);
}
