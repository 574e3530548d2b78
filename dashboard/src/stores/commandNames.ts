// Names of commands that were sent from this browser, newest first.
import { defineStore } from "pinia";
import { ref, watch } from "vue";
import { NAMES_KEY as KEY, useAuth } from "./auth";

const MOST = 50;

export const useCommandNames = defineStore("commandNames", () => {
  const names = ref<readonly string[]>(stored());

  function remember(name: string): void {
    names.value = [name, ...names.value.filter((one) => one !== name)].slice(0, MOST);
    try {
      localStorage.setItem(KEY, JSON.stringify(names.value));
    } catch {
      // It is kept until the page is closed.
    }
  }

  watch(
    () => useAuth().people,
    () => (names.value = []),
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
