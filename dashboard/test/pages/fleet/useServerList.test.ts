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
  vi.spyOn(useClient(), "consult").mockImplementation((run) => run(operator as never));
  const list = scope.run(() => useServerList(ref(readView({ q: "late" })), ref(true), ref([])));
  await vi.advanceTimersByTimeAsync(1000);
  await nextTick();
  expect(asked).toEqual([null, "1", "2", "3"]);
  expect([...(list?.rows.value.keys() ?? [])]).toEqual(["late"]);
  expect(list?.hasMore.value).toBe(true);
});

it("brings values of columns with it, and loads again what could not be loaded", async () => {
  const asked: unknown[] = [];
  const operator = {
    page: (filters: { values: unknown }, cursor: string | null): Promise<unknown> => {
      asked.push([filters.values, cursor]);
      if (asked.length === 2) return Promise.reject(new Error("away"));
      const id = `s${asked.length}`;
      return Promise.resolve({ sessions: [{ session_id: id, rev: 1, values: { t: [5, 1] } }], next: "more" });
    },
  };
  vi.spyOn(useClient(), "consult").mockImplementation((run) => run(operator as never));
  const list = effectScope().run(() => useServerList(ref(readView({})), ref(true), ref(["t"])));
  await vi.advanceTimersByTimeAsync(1000);
  expect(list?.rows.value.get("s1")?.values.get("t")).toEqual([5, 1]);
  await list?.more();
  expect(list?.error.value).toBeDefined();
  await list?.again();
  expect(list?.error.value).toBeUndefined();
  expect(asked).toEqual([[["t"], null], [["t"], "more"], [["t"], "more"]]);
  expect([...(list?.rows.value.keys() ?? [])]).toEqual(["s1", "s3"]);
});
