import { createPinia, setActivePinia } from "pinia";
import { beforeEach, expect, it, vi } from "vitest";
import { useTrends } from "@/stores/trends";

const fleet = { updates: 0, countsFrom: 0 };
vi.mock("@/stores/fleet", () => ({
  useFleet: () => ({ updates: () => fleet.updates, countsFrom: () => fleet.countsFrom, all: () => [] }),
}));
const stats = { nodes: 2, samples_stored: 0, sessions: { active: 9, inactive: 0, archived: 0 } };
vi.mock("@/stores/client", () => ({
  useClient: () => ({ get: () => Promise.resolve({ ...stats, time: new Date().toISOString() }) }),
}));
let mayAll = true;
vi.mock("@/stores/auth", () => ({ useAuth: () => ({ may: () => mayAll }) }));
const connection = { state: "live", isCurrent: true, isLarge: false, counts: { active: 3, inactive: 0, archived: 0 } };
vi.mock("@/stores/connection", () => ({ useConnection: () => connection }));
beforeEach(() => {
  setActivePinia(createPinia());
  connection.isLarge = false;
  mayAll = true;
  vi.useFakeTimers({ now: 0 });
});

it("tells updates per second of whole times in which they were counted, and of no others", () => {
  fleet.countsFrom = performance.now() + 1_000;
  const store = useTrends();
  const told = (): unknown[] => [store.trends.updates.at(-1), store.trends.active.at(-1)];
  fleet.updates += 500;
  vi.advanceTimersByTime(300);
  expect(told()).toEqual([undefined, 3]); // a first look, for the other figures
  vi.advanceTimersByTime(1_700);
  expect(told()).toEqual([undefined, 3]); // not counted from the beginning
  fleet.updates += 20;
  vi.advanceTimersByTime(2_000);
  expect(told()).toEqual([10, 3]);
  fleet.countsFrom = Infinity;
  vi.advanceTimersByTime(2_000);
  expect(told()).toEqual([undefined, 3]);
});

it("has figures of the whole service where the fleet is too large to be watched, and none of its part", async () => {
  connection.isLarge = true;
  const store = useTrends();
  await vi.advanceTimersByTimeAsync(2_000);
  stats.samples_stored += 5_000;
  await vi.advanceTimersByTimeAsync(12_000);
  const told = Object.fromEntries(Object.entries(store.trends).map(([name, trend]) => [name, trend.at(-1)]));
  expect(told).toMatchObject({ active: 9, nodes: 2, commands: undefined });
  expect(told["updates"]).toBeCloseTo(500, -2);
  stats.samples_stored = 0; // a node was restarted
  await vi.advanceTimersByTimeAsync(10_000);
  expect(store.trends.updates.at(-1)).toBeUndefined();
});

it("has no samples per second that were stored while it was stale, and none of a part for the whole", async () => {
  connection.isLarge = true;
  const store = useTrends();
  await vi.advanceTimersByTimeAsync(20_000);
  connection.isCurrent = false;
  await vi.advanceTimersByTimeAsync(12_000);
  connection.isCurrent = true;
  stats.samples_stored += 100_000; // what waited
  for (let turn = 0; turn < 15; turn += 1) {
    await vi.advanceTimersByTimeAsync(2_000);
    expect(store.trends.updates.at(-1) ?? 0).toBe(0);
  }
  expect(store.trends.updates.at(-1)).toBe(0); // known again
  mayAll = false; // a token of some projects
  setActivePinia(createPinia());
  const part = useTrends();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(Object.values(part.trends).map((trend) => trend.at(-1))).toEqual(Array(6).fill(undefined));
});

it("leaves a gap where a page that nobody sees was not woken", () => {
  const store = useTrends();
  vi.advanceTimersByTime(4_000);
  const before = store.trends.active.length;
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + 60_000); // no timer ran meanwhile
  vi.advanceTimersByTime(2_000);
  expect(store.trends.active.slice(before)).toEqual([...Array<undefined>(30).fill(undefined), 3]);
});
