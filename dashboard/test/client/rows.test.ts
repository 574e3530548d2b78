import { describe, expect, it } from "vitest";
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

  it("keep the values that are wanted, and no others", () => {
    const rows = rowsOf("a");
    rows.want(["t"]);
    rows.apply([samples("a", 11, ["t", 5, 1], ["u", 6, 1])], new Map(), at, 5);
    expect(rows.byId.get("a")?.values).toEqual({ t: [5, 1] });
    expect([...rows.keys]).toEqual(["t", "u"]);
  });

  it("take fetched values only where no newer ones came by themselves", () => {
    const rows = rowsOf("a", "b");
    rows.want(["t"]);
    rows.apply([samples("a", 20, ["t", "live", 2])], new Map(), at, 5);
    for (const id of ["a", "b", "gone"]) {
      rows.fill({ ...summary(id), rev: 15, values: { t: ["fetched", 1], u: [1, 1] } } as never);
    }
    expect(rows.byId.get("a")?.values).toEqual({ t: ["live", 2], u: [1, 1] });
    expect(rows.byId.get("b")?.values).toEqual({ t: ["fetched", 1], u: [1, 1] });
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
    rows.apply([samples("a", 4, ["t", 1, 1]), samples("a", 6, ["t", 2, 2])], new Map(), at, 5);
    expect([...rows.byId.keys()]).toEqual(["a"]);
    expect(rows.updates).toBe(3);
  });
});
