// Whether this page is still the one that the service has, and what became of a page that could not be loaded.
import { defineStore } from "pinia";
import { ref, shallowRef } from "vue";
import { askRelease, loadAnew, mayLoadUnasked } from "@/client/release";

/** `away`: nobody answers; `broken`: loading the page anew did not help. */
export interface Missing {
  readonly path: string;
  readonly why: "away" | "broken";
}

export const useRelease = defineStore("release", () => {
  /** Whether the node has another build now, as after an upgrade. */
  const isOld = ref(false);
  const missing = shallowRef<Missing>();

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

  /** Another page was loaded. */
  function forget(): void {
    missing.value = undefined;
  }

  return { isOld, missing, look, failed, retry, forget };
});
