import { createPinia, setActivePinia } from "pinia";
import { effectScope, nextTick, ref } from "vue";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useFleetList } from "@/pages/fleet/list/useFleetList";
import { readView } from "@/pages/fleet/view";
import { useConnection } from "@/stores/connection";
import { useFleet } from "@/stores/fleet";

const scope = effectScope();
beforeEach(() => {
  setActivePinia(createPinia());
  vi.useFakeTimers();
});
afterEach(() => {
  scope.stop();
  vi.useRealTimers();
});

it("has no list before there is a snapshot, and so does not say that there is no device", async () => {
  const connection = useConnection();
  const view = ref(readView({}));
  const list = scope.run(() => useFleetList(view, ref([])));
  view.value = readView({ q: "x" });
  await vi.advanceTimersByTimeAsync(1000);
  expect(list?.isArranged.value).toBe(false);
  const counts = { active: 0, inactive: 0, archived: 0 };
  connection.snapshot = { state: "live", sessions: new Map(), counts, staleSince: undefined };
  useFleet().structure += 1;
  await nextTick();
  await vi.advanceTimersByTimeAsync(1);
  expect(list?.isArranged.value).toBe(true);
});
