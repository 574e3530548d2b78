// Tokens: fixed ones, and functions that give them.
import { NotConnected, words } from "./errors.js";
import { Timer } from "./time.js";

/** Shown to the service; a function is asked before the token ends, and when it is refused. */
export type Token = string | (() => string | Promise<string>);

/**
 * Return the token to show now.
 * @throws NotConnected: the function that gives it failed.
 */
export async function currentToken(token: Token | undefined): Promise<string | undefined> {
  if (typeof token !== "function") return token;
  try {
    return await token();
  } catch (error) {
    throw new NotConnected(`the token function failed: ${words(error)}`, { cause: error });
  }
}

/** Return how long a JSON Web Token lasts; undefined: for ever, or it cannot be read. */
export function tokenLeftS(token: string | undefined, nowS: number): number | undefined {
  try {
    const claims = String(token).split(".")[1] ?? "";
    const text = atob(claims.replaceAll("-", "+").replaceAll("_", "/"));
    const { exp } = JSON.parse(text) as { exp?: unknown };
    return typeof exp === "number" ? exp - nowS : undefined;
  } catch {
    return undefined;
  }
}

/** Call `renew` before a token ends, where a function can give another one. */
export function renewBeforeEnd(
  source: Token | undefined,
  token: string | undefined,
  clockShiftS: number,
  renew: () => void,
): Timer | undefined {
  const leftS = typeof source === "function" ? tokenLeftS(token, Date.now() / 1000 + clockShiftS) : undefined;
  return leftS === undefined ? undefined : new Timer(Math.max(1, leftS - Math.min(60, leftS / 10)), renew);
}
