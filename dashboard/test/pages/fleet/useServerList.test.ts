import { createPinia, setActivePinia } from "pinia";
import { effectScope, nextTick, ref } from "vue";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useServerList } from "@/pages/fleet/list/useServerList";
import { readView } from "@/pages/fleet/view";
import { useClient } from "@/stores/client";

const scope = effectScope();

beforeEach(() => {
  setActivePinia(createPinia());
  vi.useFakeTimers();
});
afterEach(() => {
  scope.stop();
  vi.useRealTimers();
});

it("goes on by itself until something fits, however late in the list", async () => {
  const asked: (string | null)[] = [];
  const operator = {
    page: (_: unknown, cursor: string | null): Promise<unknown> => {
      asked.push(cursor);
      const number = cursor === null ? 0 : Number(cursor);
      const sessions = number === 3 ? [{ session_id: "late", session_name: "late" }] : [];
      return Promise.resolve({ sessions, next: String(number + 1) });
    },
  };
  vi.spyOn(useClient(), "operate").mockImplementation((run) => run(operator as never));
  const list = scope.run(() => useServerList(ref(readView({ q: "late" })), ref(true)));
  await vi.advanceTimersByTimeAsync(1000);
  await nextTick();
  expect(asked).toEqual([null, "1", "2", "3"]);
  expect([...(list?.rows.value.keys() ?? [])]).toEqual(["late"]);
  expect(list?.hasMore.value).toBe(true);
});
