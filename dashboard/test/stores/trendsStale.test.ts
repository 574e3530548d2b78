import type { FleetSnapshot, FleetState } from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { nextTick } from "vue";
import { useClient } from "@/stores/client";
import { useConnection } from "@/stores/connection";
import { useTrends } from "@/stores/trends";

const TURN_MS = 2000;

function be(state: FleetState): void {
  const counts = { active: 3, inactive: 0, archived: 0 };
  useConnection().isLoaded = true;
  useConnection().snapshot = { state, sessions: new Map(), counts, staleSince: undefined } satisfies FleetSnapshot;
}

beforeEach(() => {
  setActivePinia(createPinia());
  vi.useFakeTimers();
  vi.spyOn(useClient(), "get").mockRejectedValue(new Error("away"));
});
afterEach(() => vi.useRealTimers());

describe("figures of the last minutes", () => {
  it("are not known while the page is stale, and updates per second not before a whole turn after it", () => {
    be("live");
    const store = useTrends();
    const last = (): (number | undefined)[] => [store.trends.active.at(-1), store.trends.updates.at(-1)];
    vi.advanceTimersByTime(2 * TURN_MS);
    expect(last()).toEqual([3, 0]);
    be("stale");
    vi.advanceTimersByTime(TURN_MS);
    expect(last()).toEqual([undefined, undefined]);
    be("live");
    vi.advanceTimersByTime(TURN_MS); // what was missed came all at once
    expect(last()).toEqual([3, undefined]);
    vi.advanceTimersByTime(TURN_MS);
    expect(last()).toEqual([3, 0]);
  });

  it("are there as soon as the fleet is loaded", async () => {
    const store = useTrends();
    const connection = useConnection();
    be("live");
    connection.isLoaded = false;
    await nextTick();
    connection.isLoaded = true;
    await nextTick();
    expect(store.trends.active.at(-1)).toBe(3);
  });
});
