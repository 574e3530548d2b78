import { describe, expect, it } from "vitest";
import { watchEffect } from "vue";
import { Rows } from "@/client/rows";
import { sessionsOf, summary } from "../summaries";

const at = 1_000_000;

function samples(sessionId: string, rev: number, ...some: [string, unknown, number][]): never {
  return { kind: "samples", sessionId, rev, samples: some, isConflated: false } as never;
}

function rowsOf(...ids: string[]): Rows {
  const rows = new Rows();
  rows.reset(sessionsOf(...ids.map((id) => summary(id))));
  return rows;
}

describe("rows of the fleet", () => {
  it("take a burst for one report: its parts are no silence before the next, and the rate does not flutter", () => {
    const rows = rowsOf("a");
    let rev = 100;
    /** Two events at a time, of whose ten samples each only the last ones come. */
    const burst = (ms: number): void => {
      for (const part of [0, 5])
        rows.apply([samples("a", (rev += 10), ["t", 1, (ms + part) / 1000])], new Map(), at + ms + part, ms);
    };
    for (let s = 0; s <= 60; s += 5) burst(s * 1000);
    expect(rows.countsFrom).toBe(0);
    const row = rows.byId.get("a");
    for (const afterMs of [10, 2_500, 4_900]) expect(row?.rate(at + 60_000 + afterMs)).toBeCloseTo(4, 0);
  });

  it("are shown again one by one: what happens to one is no work for the others", () => {
    const rows = rowsOf("a", "b");
    const looks = { a: 0, b: 0 };
    for (const id of ["a", "b"] as const)
      watchEffect(() => (looks[id] += (rows.byId.get(id)?.tick.value ?? 0) + 1), { flush: "sync" });
    const change = (): { a: number; b: number } => ({ ...looks });
    rows.want(["t"]);
    let before = change();
    rows.apply([samples("a", 14, ["t", 1, 1])], new Map(), at, 5);
    expect(looks.a).toBeGreaterThan(before.a);
    before = change();
    rows.apply([{ kind: "changed", sessionId: "a", summary: summary("a") } as never], new Map(), at, 5);
    expect(looks.a).toBeGreaterThan(before.a);
    before = change();
    rows.byId.get("a")?.fill(99, [["t", [2, 2]]]);
    expect(looks.a).toBeGreaterThan(before.a);
    expect(looks.b).toBe(1);
  });

  it("count updates by revisions, not by samples, which may be left out", () => {
    const rows = rowsOf("a");
    rows.apply([samples("a", 14, ["t", 1, 1])], new Map(), at, 5);
    expect(rows.updates).toBe(1); // the summary may have been old
    rows.apply([samples("a", 17, ["t", 1, 1])], new Map(), at, 5);
    expect(rows.updates).toBe(4);
    rows.apply([samples("a", 14, ["u", 1, 1]), samples("a", 12, ["u", 1, 1])], new Map(), at, 5);
    expect(rows.updates).toBe(4);
  });

  it("have a rate that follows what happens and fades when nothing does", () => {
    const rows = rowsOf("a");
    for (let s = 1; s <= 4; s += 1) rows.apply([samples("a", 10 + 2 * s, ["t", s, s])], new Map(), at + s * 1000, 5);
    expect(rows.byId.get("a")?.rate(at + 4_000)).toBeCloseTo(2, 0); // at once
    for (let s = 5; s <= 60; s += 1) rows.apply([samples("a", 10 + 2 * s, ["t", s, s])], new Map(), at + s * 1000, 5);
    const row = rows.byId.get("a");
    expect(row?.rate(at + 60_000)).toBeCloseTo(2, 0);
    expect(row?.rate(at + 120_000)).toBeLessThan(0.01);
  });

  it("have no rate until there is a time to count in, and none too high for a device that sends seldom", () => {
    const rows = rowsOf("a");
    rows.apply([samples("a", 90, ["t", 1, 1])], new Map(), at, 5);
    rows.apply([samples("a", 91, ["t", 1, 1])], new Map(), at + 500, 5);
    const row = rows.byId.get("a");
    expect(row?.rate(at + 500)).toBeUndefined();
    expect(row?.rate(at + 1_000)).toBeCloseTo(1, 1);
    const seldom = rowsOf("b");
    seldom.apply([samples("b", 90, ["t", 1, 1])], new Map(), at, 5);
    expect(seldom.byId.get("b")?.rate(at + 5_000)).toBe(0); // and not one per second
    for (const minute of [1, 2]) {
      seldom.apply([samples("b", 90 + minute, ["t", 1, 1])], new Map(), at + 60_000 * minute, 5);
    }
    expect(seldom.byId.get("b")?.rate(at + 120_000)).toBeCloseTo(1 / 60, 3);
    expect(seldom.byId.get("b")?.rate(at + 179_000)).toBeCloseTo(1 / 60, 3);
  });

  it("count nothing of what comes at once because it happened before", () => {
    const rows = rowsOf("a");
    const live = (rev: number, now: number): void => rows.apply([samples("a", rev, ["t", 1, 1])], new Map(), now, 5);
    rows.apply([{ kind: "reset" }, { kind: "state", state: "live" }], sessionsOf(summary("a")), at, 5);
    live(500, at + 900);
    for (let s = 1; s <= 9; s += 1) live(500 + s, at + 900 + s * 1000);
    expect(rows.updates).toBe(9);
    expect(rows.byId.get("a")?.rate(at + 9_900)).toBeCloseTo(1, 0);
    rows.apply([{ kind: "state", state: "offline" }], new Map(), at + 10_000, 5);
    rows.apply([{ kind: "state", state: "resyncing" }], new Map(), at + 70_000, 5);
    expect(rows.countsFrom).toBe(Infinity);
    rows.apply([{ kind: "state", state: "live" }], new Map(), at + 70_100, 5);
    live(569, at + 70_200);
    expect(rows.updates).toBe(9);
    for (let s = 1; s <= 3; s += 1) live(569 + s, at + 71_000 + s * 1000);
    expect(rows.updates).toBe(12);
    expect(rows.byId.get("a")?.rate(at + 74_000)).toBeCloseTo(1, 0);
  });

  it("keep values of keys that have the names of what every object has", () => {
    const rows = rowsOf("a");
    rows.want(["__proto__", "constructor"]);
    const found: unknown = JSON.parse('{"__proto__": [1, 1]}');
    rows.fill({ ...summary("a"), values: found } as never);
    expect([...(rows.byId.get("a")?.values ?? [])]).toEqual([["__proto__", [1, 1]]]);
    rows.apply([samples("a", 90, ["__proto__", 2, 2])], new Map(), at, 5);
    expect(rows.byId.get("a")?.values.get("__proto__")).toEqual([2, 2]);
  });

  it("keep the values that are wanted, and no others", () => {
    const rows = rowsOf("a");
    rows.want(["t"]);
    rows.apply([samples("a", 11, ["t", 5, 1], ["u", 6, 1])], new Map(), at, 5);
    expect(rows.byId.get("a")?.values).toEqual(new Map([["t", [5, 1]]]));
    expect([...rows.keys]).toEqual(["t", "u"]);
  });

  it("take fetched values only where no newer ones came by themselves", () => {
    const rows = rowsOf("a", "b");
    rows.want(["t"]);
    rows.apply([samples("a", 20, ["t", "live", 2])], new Map(), at, 5);
    for (const id of ["a", "b", "gone"]) {
      rows.fill({ ...summary(id), rev: 15, values: { t: ["fetched", 1], u: [1, 1] } } as never);
    }
    expect(rows.byId.get("a")?.values).toEqual(new Map<string, unknown>([["t", ["live", 2]], ["u", [1, 1]]]));
    expect(rows.byId.get("b")?.values).toEqual(new Map<string, unknown>([["t", ["fetched", 1]], ["u", [1, 1]]]));
    expect(rows.byId.has("gone")).toBe(false);
  });

  it("lose a session that leaves, and forget a new name's search text", () => {
    const rows = rowsOf("a", "b");
    expect(rows.byId.get("a")?.text).toBe("a\n");
    const changed = { kind: "changed", sessionId: "a", summary: summary("a", { session_name: "Hall" }) } as const;
    rows.apply([changed, { kind: "removed", sessionId: "b" }], new Map(), at, 5);
    expect(rows.byId.get("a")?.text).toBe("a\nhall");
    expect([...rows.byId.keys()]).toEqual(["a"]);
  });

  it("begin anew with a reset, where revisions may have gone back", () => {
    const rows = rowsOf("a", "b");
    rows.apply([{ kind: "reset" }], sessionsOf(summary("a", { rev: 3 })), at, 5);
    rows.apply([samples("a", 4, ["t", 1, 1]), samples("a", 6, ["t", 2, 2])], new Map(), at + 1_000, 5);
    expect([...rows.byId.keys()]).toEqual(["a"]);
    expect(rows.updates).toBe(3);
  });
});
