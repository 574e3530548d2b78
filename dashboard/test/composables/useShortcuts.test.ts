import { effectScope } from "vue";
import { afterEach, expect, it, vi } from "vitest";
import { runShortcut, useShortcuts } from "@/composables/useShortcuts";

const scope = effectScope();
afterEach(() => scope.stop());

it("gives a letter to who wants it, with Shift and Caps Lock too, and never while somebody types", () => {
  const run = vi.fn();
  scope.run(() => useShortcuts("Test", [{ key: "x", does: "", run }]));
  const press = (key: string, init: KeyboardEventInit = {}, at: Element = document.body): void => {
    const event = new KeyboardEvent("keydown", { key, ...init });
    Object.defineProperty(event, "target", { value: at });
    runShortcut(event);
  };
  press("x");
  press("X", { shiftKey: true });
  expect(run).toHaveBeenCalledTimes(2);
  press("x", { ctrlKey: true });
  press("X", {}, document.createElement("input"));
  expect(run).toHaveBeenCalledTimes(2);
});
