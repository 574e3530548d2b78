// What a person is told of an error.
import { MusterError, NotConnected, Refused } from "muster-client";
import { visible } from "./visible";

/** Whether the token is missing, wrong or over. */
export function isNotAuthenticated(error: unknown): boolean {
  return error instanceof Refused && error.code === "not_authenticated";
}

/** What to do, where the service's own words do not say it. */
const DO: Readonly<Record<string, string>> = {
  not_allowed: "Another token may.",
  archive_corrupt: "The page Archive shows the file under Quarantine.",
};
/** What answered in place of the service, by status. */
const BETWEEN: Readonly<Record<string, string>> = {
  413: "it lets nothing of this size through. Whoever runs it can raise that limit",
  429: "it lets no more requests through for now. Try again in a minute",
  502: "the service is away. Try again in a moment",
  503: "the service is away. Try again in a moment",
  504: "the service did not answer in time. Try again in a moment",
};
const OLDER = "This node may be of an earlier version than the page: if an upgrade is under way, try again after it.";

/** Ask as nodes of this version are asked, and one of an earlier version, which does not know that, as those are. */
export async function orOlder<T>(ask: () => Promise<T>, older: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (codeOf(error) !== "invalid_request") throw error;
    return older();
  }
}

/** Return an error in words, with what can be done where we know it; `act`: something was to be done. */
export function explain(error: unknown, did: "read" | "act" = "act"): string {
  if (error instanceof NotConnected) {
    if (did === "read") return "No answer came from the service: it is stopped, overloaded, or out of reach.";
    return "No answer came from the service: it may have done this, or not. Look before you do it again.";
  }
  if (error instanceof Refused) return visible(refusal(error, did));
  return visible(error instanceof Error ? error.message : String(error));
}

function refusal({ details, retryAfterS }: Refused, did: "read" | "act"): string {
  const { code, message, log_id: logId } = details;
  const status = /^status (\d+)$/.exec(message ?? "")?.[1];
  if (code === undefined && status !== undefined) {
    const why = BETWEEN[status] ?? "whoever runs the service can find out why";
    return `What stands before the service answered with status ${status}: ${why}.`;
  }
  const said = [message ?? code ?? "The service refused the request."];
  if (did === "read" && code === "invalid_request" && isUnknownThere(details)) said.push(OLDER);
  if (retryAfterS !== undefined) said.push(`Try again in ${Math.ceil(retryAfterS)} s.`);
  if (typeof logId === "string") said.push(`Its log says what: look for ${logId}.`);
  return [...said, DO[code ?? ""] ?? []].flat().join(" ");
}

/** Return why there is no connection; `trouble`: what came of a request meanwhile. */
export function offlineWords(trouble: unknown): string {
  if (!(trouble instanceof Refused)) return "No connection to the service.";
  const isWithoutRedis = codeOf(trouble) === "store_unavailable";
  if (isWithoutRedis) return "The service answers, but its Redis does not: look after Redis.";
  return `The service answers, but opens no connection: ${explain(trouble, "read")}`;
}

/**
 * Whether a node did not know what it was asked for: a path, a field, an event. People type values and no names, and
 * the page asks nothing that a node of its own version does not know.
 */
function isUnknownThere({ status, message = "" }: Refused["details"]): boolean {
  if (status === 404 || status === 405) return true;
  return /\bunknown (field|query parameter)\b|^There is no such event/.test(message);
}

/** Whether the same request may succeed later by itself. */
export function isPassing(error: unknown): boolean {
  return error instanceof NotConnected || (error instanceof Refused && error.retryable);
}

/** Return the code that docs/protocol.md lists; undefined: it is no error of the service. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof MusterError ? error.code : undefined;
}
