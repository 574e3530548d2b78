// Sessions of REST lists, in the form in which events have them.
import type { ListedSession, Summary } from "muster-client";
import { toMs } from "./times";

const TIMES = ["created_at", "start_time", "disconnected_at", "last_activity"] as const;

/** Return a summary with its times in seconds. */
export function asSummary(listed: ListedSession): Summary {
  const times = Object.fromEntries(
    TIMES.map((name) => {
      const ms = toMs(listed[name]);
      return [name, ms === undefined ? null : ms / 1000];
    }),
  );
  return { ...listed, ...times } as Summary;
}
