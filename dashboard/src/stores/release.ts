// Whether this page is still the one that the service has, and what became of a page that could not be loaded.
import { defineStore } from "pinia";
import { onScopeDispose, ref, shallowRef } from "vue";
import { allowedNodes, askNodes, askRelease, loadAnew, mayLoadUnasked } from "@/client/release";

/** `away`: nobody answers; `broken`: loading the page anew did not help. */
export interface Missing {
  readonly path: string;
  readonly why: "away" | "broken";
}

export const useRelease = defineStore("release", () => {
  /** Whether the node has another build now, as after an upgrade. */
  const isOld = ref(false);
  const missing = shallowRef<Missing>();
  /** Whether a page that is loaded now may connect to nodes that this one may not: they came later. */
  const isNarrow = ref(false);
  const holds = new Set<() => boolean>();

  /** Look whether the node was upgraded while it was away. */
  async function look(): Promise<void> {
    const found = await askRelease();
    if (found !== "unknown") isOld.value = found === "other";
  }

  /** A page could not be loaded: get it whole from the node, if there is one. */
  async function failed(path: string): Promise<void> {
    if ((await askRelease()) === "unknown") missing.value = { path, why: "away" };
    else if (mayLoadUnasked()) loadAnew(path);
    else missing.value = { path, why: "broken" };
  }

  /** Try again, because somebody wants it. */
  async function retry(): Promise<void> {
    const { path } = missing.value ?? { path: "/" };
    if ((await askRelease()) === "unknown") missing.value = { path, why: "away" };
    else loadAnew(path);
  }

  /** Look whether this page may connect to these nodes, or one would that the node of this address serves now. */
  async function reach(urls: readonly string[]): Promise<void> {
    const allowed = allowedNodes();
    const beyond = urls.filter((url) => url !== location.origin && allowed?.has(url) === false);
    const served = beyond.length === 0 ? undefined : await askNodes();
    isNarrow.value = served !== undefined && beyond.some((url) => served.has(url));
  }

  /** As long as the scope lives, load nothing unasked while this is true: it would be lost. */
  function hold(isHeld: () => boolean): void {
    holds.add(isHeld);
    onScopeDispose(() => holds.delete(isHeld));
  }

  /** Load the page anew where nobody sees it, and nothing is lost by that; `path` as the router has it. */
  function widen(path: string): void {
    const isQuiet = document.hidden && document.querySelector("dialog[open]") === null;
    if (!isNarrow.value || !isQuiet || [...holds].some((isHeld) => isHeld())) return;
    if (mayLoadUnasked()) loadAnew(path);
  }

  /** Another page was loaded. */
  function forget(): void {
    missing.value = undefined;
  }

  return { isOld, missing, isNarrow, look, reach, hold, widen, failed, retry, forget };
});
