import type { Change, Fleet } from "muster-client";
import { createPinia, setActivePinia } from "pinia";
import { beforeEach, describe, expect, it } from "vitest";
import { MOST_ROWS, MOST_SIZE, useTail } from "@/stores/tail";

const fleet = { state: "live", sessions: new Map() } as unknown as Fleet;
const sample = (key: string, value: unknown): Change => ({
  kind: "samples", sessionId: "kiosk-7", rev: 1, samples: [[key, value, 1]], isConflated: false,
});
let tail: ReturnType<typeof useTail>;
const texts = (): string[] => tail.rows.map((row) => row.text);

beforeEach(() => {
  setActivePinia(createPinia());
  tail = useTail();
  tail.take(fleet, [{ kind: "reset" }]);
});

describe("the live tail", () => {
  it("begins with what comes, and marks a snapshot later on as a gap", () => {
    expect(tail.rows).toEqual([]);
    tail.take(fleet, [sample("a", 1), { kind: "reset" }, sample("b", 2)]);
    expect(tail.rows.map((row) => row.kind)).toEqual(["sample", "gap", "sample"]);
  });

  it("stands still while it is paused, counts, and has all of it afterwards", () => {
    tail.take(fleet, [sample("a", 1)]);
    tail.setPaused(true);
    tail.take(fleet, [sample("b", 2), sample("c", 3)]);
    expect([texts(), tail.missed]).toEqual([["a = 1"], 2]);
    tail.setPaused(false);
    expect([texts(), tail.missed]).toEqual([["a = 1", "b = 2", "c = 3"], 0]);
  });

  it("finds what fits another filter among what came before", () => {
    tail.take(fleet, [sample("speed", 1), sample("gear", 2)]);
    tail.setFilter({ words: "gear", kinds: new Set(["sample"]) });
    tail.take(fleet, [sample("speed", 3), sample("gear", 4)]);
    expect(texts()).toEqual(["gear = 2", "gear = 4"]);
    tail.setFilter({ words: "", kinds: new Set(["sample"]) });
    expect(texts()).toHaveLength(4);
  });

  it("keeps the last rows, however many come", () => {
    for (let turn = 0; turn < 4; turn += 1) {
      const start = (turn * MOST_ROWS) / 2;
      tail.take(fleet, Array.from({ length: MOST_ROWS / 2 }, (_, at) => sample("n", start + at)));
    }
    expect([tail.rows.length, tail.total, tail.isFull]).toEqual([MOST_ROWS, 2 * MOST_ROWS, true]);
    expect(texts()[0]).toBe(`n = ${MOST_ROWS}`);
    tail.setFilter({ words: "", kinds: new Set(["sample"]) });
    expect(texts()[0]).toBe(`n = ${MOST_ROWS}`);
  });

  it("keeps fewer rows of large values, which would fill the memory of the page", () => {
    const large = "x".repeat(MOST_SIZE / 10);
    for (let turn = 0; turn < 20; turn += 1) tail.take(fleet, [sample("n", `${large}${turn}`)]);
    expect(tail.rows.length).toBeLessThanOrEqual(15);
    expect([tail.total, tail.isFull]).toEqual([20, true]);
    tail.setFilter({ words: "", kinds: new Set(["sample"]) });
    expect(tail.rows.at(-1)?.about["value"]).toBe(`${large}19`);
  });
});
