import { describe, expect, it } from "vitest";
import { Slots } from "@/composables/useVirtualRows";

describe("slots of rows", () => {
  it("are kept by rows that stay, and given to rows that come from those that went", () => {
    const slots = new Slots();
    expect(slots.take([0, 1, 2])).toEqual([0, 1, 2]);
    expect(slots.take([1, 2, 3])).toEqual([1, 2, 0]);
    expect(new Set(slots.take([70, 71, 72]))).toEqual(new Set([0, 1, 2]));
  });

  it("are no more than the rows that were seen at one time, and one row's each", () => {
    const slots = new Slots();
    const used = new Set<number>();
    for (let first = 0; first < 500; first += 7) {
      const taken = slots.take(Array.from({ length: 30 + (first % 11) }, (_, row) => first + row));
      expect(new Set(taken).size).toBe(taken.length);
      for (const slot of taken) used.add(slot);
    }
    expect(used.size).toBe(40);
  });
});
