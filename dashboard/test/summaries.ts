// Summaries for tests.
import type { Summary } from "muster-client";

export function summary(id: string, more: Partial<Summary> = {}): Summary {
  return {
    session_id: id, device_id: id, session_name: "", project_id: "", state: "active", is_connected: true,
    node_id: "node-1", created_at: 1, start_time: 1, disconnected_at: null, disconnect_reason: null, setup_version: 0,
    in_sync: true, active_clients: 0, open_commands: 0, last_activity: 1, expect_every_s: null, seen_by: "socket",
    rev: 10,
    ...more,
  };
}

export function sessionsOf(...all: Summary[]): Map<string, Summary> {
  return new Map(all.map((one) => [one.session_id, one]));
}

/** A token that says this; nobody checks its signature here. */
export function tokenOf(claims: object): string {
  const part = (value: object): string => btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_");
  return `${part({ alg: "none" })}.${part(claims)}.x`;
}
