// Which build of the dashboard the node of this address serves, to which nodes it may connect, and how to get it.

const LAST_LOAD = "muster.loaded";
const LEAST_MS = 60_000;
const TIMEOUT_MS = 10_000;

/** `same`: the one that this page is of; `unknown`: the node does not answer. */
export type Release = "same" | "other" | "unknown";

/** Ask the node of this address; the name of the first script has a digest of all others in it. */
export async function askRelease(): Promise<Release> {
  const ours = document.querySelector("script[type=module][src]")?.getAttribute("src") ?? "";
  const served = await fetchPage();
  if (served === undefined) return "unknown";
  return served.includes(`"${ours}"`) ? "same" : "other";
}

/** Return to which nodes this page may connect, apart from its own; undefined: it does not say. */
export function allowedNodes(): ReadonlySet<string> | undefined {
  const named = document.querySelector("meta[name=muster-nodes]")?.getAttribute("content");
  return named === null || named === undefined ? undefined : new Set(named.split(" "));
}

/** Ask the node of this address to which ones a page may connect that it serves now; undefined: it does not answer. */
export async function askNodes(): Promise<ReadonlySet<string> | undefined> {
  const served = await fetchPage();
  if (served === undefined) return undefined;
  return new Set(/<meta name="muster-nodes" content="([^"]*)"/.exec(served)?.[1]?.split(" "));
}

async function fetchPage(): Promise<string | undefined> {
  try {
    const answer = await fetch("/dashboard/", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return answer.ok ? await answer.text() : undefined;
  } catch {
    return undefined;
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
