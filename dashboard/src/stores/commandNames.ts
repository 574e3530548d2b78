// Names of commands that were sent from this browser, newest first.
import { defineStore } from "pinia";
import { ref, watch } from "vue";
import { useAuth } from "./auth";

const KEY = "muster.commands";
const MOST = 50;

export const useCommandNames = defineStore("commandNames", () => {
  const names = ref<readonly string[]>(stored());

  function remember(name: string): void {
    keep([name, ...names.value.filter((one) => one !== name)].slice(0, MOST));
  }

  function keep(found: readonly string[]): void {
    names.value = found;
    try {
      if (found.length === 0) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, JSON.stringify(found));
    } catch {
      // It is kept until the page is closed.
    }
  }

  watch(
    () => useAuth().people,
    () => keep([]),
    { flush: "sync" },
  );

  return { names, remember };
});

function stored(): readonly string[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => typeof one === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}
