// A new page, where parts of this one are not to be had any more.

const KEY = "muster.reloaded";
const LEAST_MS = 60_000;

/** Load the page anew, but not again and again. */
export function reloadOnce(): void {
  const now = Date.now();
  try {
    const before = Number(sessionStorage.getItem(KEY) ?? 0);
    if (Math.abs(now - before) < LEAST_MS) return;
    sessionStorage.setItem(KEY, String(now));
  } catch {
    return; // without a memory it could go on for ever
  }
  location.reload();
}
