// What a person chose for this browser.
import { defineStore } from "pinia";
import { ref, watch, watchEffect } from "vue";

export type Theme = "auto" | "light" | "dark";

const KEY = "muster.theme";
const THEMES: readonly Theme[] = ["auto", "light", "dark"];

export const usePreferences = defineStore("preferences", () => {
  const theme = ref<Theme>(stored());

  watchEffect(() => {
    if (theme.value === "auto") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = theme.value;
  });
  watch(theme, (chosen) => {
    try {
      localStorage.setItem(KEY, chosen);
    } catch {
      // It holds until the page is closed.
    }
  });

  function nextTheme(): void {
    theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "auto";
  }

  return { theme, nextTheme };
});

function stored(): Theme {
  try {
    const found = localStorage.getItem(KEY);
    return THEMES.find((one) => one === found) ?? "auto";
  } catch {
    return "auto";
  }
}
