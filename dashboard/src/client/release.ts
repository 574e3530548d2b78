// Which build of the dashboard the node of this address serves, and how to get it.

const LAST_LOAD = "muster.loaded";
const LEAST_MS = 60_000;
const TIMEOUT_MS = 10_000;

/** `same`: the one that this page is of; `unknown`: the node does not answer. */
export type Release = "same" | "other" | "unknown";

/** Ask the node of this address; the name of the first script has a digest of all others in it. */
export async function askRelease(): Promise<Release> {
  const ours = document.querySelector("script[type=module][src]")?.getAttribute("src") ?? "";
  try {
    const answer = await fetch("/dashboard/", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!answer.ok) return "unknown";
    return (await answer.text()).includes(`"${ours}"`) ? "same" : "other";
  } catch {
    return "unknown";
  }
}

/** Load a page from the node, whatever this page has; `path` as the router has it. */
export function loadAnew(path: string): void {
  location.assign(`/dashboard${path}`);
}

/** Whether that may be done unasked: not again and again. */
export function mayLoadUnasked(): boolean {
  const now = Date.now();
  try {
    const before = Number(sessionStorage.getItem(LAST_LOAD) ?? 0);
    if (Math.abs(now - before) < LEAST_MS) return false;
    sessionStorage.setItem(LAST_LOAD, String(now));
    return true;
  } catch {
    return false; // without a memory it could go on for ever
  }
}
