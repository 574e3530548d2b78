// What a person is told of an error.
import { MusterError, NotConnected, Refused } from "muster-client";

/** Whether the token is missing, wrong or over. */
export function isNotAuthenticated(error: unknown): boolean {
  return error instanceof Refused && error.code === "not_authenticated";
}

/** Return an error in words, with what can be done where we know it; `act`: something was to be done. */
export function explain(error: unknown, did: "read" | "act" = "act"): string {
  if (error instanceof NotConnected) {
    if (did === "read") return "No answer came from the service: it is stopped, overloaded, or out of reach.";
    return "No answer came from the service: it may have done this, or not. Look before you do it again.";
  }
  if (error instanceof Refused) {
    const { code, message } = error.details;
    const after = error.retryAfterS === undefined ? "" : ` Try again in ${Math.ceil(error.retryAfterS)} s.`;
    return `${message ?? code ?? "The service refused the request."}${after}`;
  }
  if (error instanceof MusterError || error instanceof Error) return error.message;
  return String(error);
}

/** Return the code that docs/protocol.md lists; undefined: it is no error of the service. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof MusterError ? error.code : undefined;
}
