import { describe, expect, it } from "vitest";
import { Row } from "@/client/rows";
import { arrange, columnsOf, lastSeenMs, setupState } from "@/pages/fleet/columns";
import { readView, type View } from "@/pages/fleet/view";
import { shortValue } from "@/pages/fleet/values";
import { summary } from "../../summaries";

function ids(rows: Row[], part: Partial<View>): string[] {
  return arrange(rows.map((row): [string, Row] => [row.summary.session_id, row]), { ...readView({}), ...part });
}

function valued(id: string, value: unknown): Row {
  const row = new Row(summary(id));
  if (value !== undefined) row.values = { t: [value, 1] };
  return row;
}

describe("list of the fleet", () => {
  const away = { node_id: null, state: "inactive" } as const;
  const hall = new Row(summary("k-1", { session_name: "Hall", project_id: "berlin", ...away }));
  const tower = new Row(summary("k-2", { session_name: "tower", setup_version: 2, in_sync: false, open_commands: 1 }));

  it.each<[Partial<View>, string[]]>([
    [{}, ["k-1", "k-2"]],
    [{ q: "HALL" }, ["k-1"]],
    [{ q: "k-" }, ["k-1", "k-2"]],
    [{ q: "2" }, ["k-2"]],
    [{ state: "active" }, ["k-2"]],
    [{ project: "berlin" }, ["k-1"]],
    [{ node: "node-1" }, ["k-2"]],
    [{ only: "unsynced" }, ["k-2"]],
    [{ only: "commands" }, ["k-2"]],
    [{ sort: { by: "name", isDescending: true } }, ["k-2", "k-1"]],
    [{ sort: { by: "no such column", isDescending: false } }, ["k-1", "k-2"]],
  ])("with %j has %j", (part, expected) => {
    expect(ids([tower, hall], part)).toEqual(expected);
  });

  it("finds a name in either Unicode form", () => {
    expect(ids([new Row(summary("a", { session_name: "Café" }))], { q: "cafe\u0301" })).toEqual(["a"]);
  });

  it("is sorted by numbers as numbers, then texts, then nothing, in either direction", () => {
    const rows = [valued("none", undefined), valued("text", "x"), valued("ten", 10), valued("nine", 9)];
    const sort = { by: "value:t", isDescending: false };
    expect(ids(rows, { sort })).toEqual(["nine", "ten", "text", "none"]);
    expect(ids(rows, { sort: { ...sort, isDescending: true } }).at(-1)).toBe("none");
  });

  it("stands still where rows are equal", () => {
    const rows = ["c", "a", "b"].map((id) => new Row(summary(id)));
    for (const isDescending of [true, false]) {
      expect(ids(rows, { sort: { by: "state", isDescending } })).toEqual(["a", "b", "c"]);
    }
  });
});

describe("columns", () => {
  it("are those that are known, and data keys, whatever they are called", () => {
    const found = columnsOf(["name", "nope", "value:", "value:__proto__"]);
    expect(found.map(({ title }) => title)).toEqual(["Name", "__proto__"]);
    expect(columnsOf(["value:constructor"])[0]?.key(new Row(summary("a")))).toBeUndefined();
  });

  it("tell the last sign of life from what was told and what was seen", () => {
    const row = new Row(summary("a", { last_activity: 5 }));
    expect(lastSeenMs(row)).toBe(5000);
    row.note(11, 1, 9000);
    expect(lastSeenMs(row)).toBe(9000);
    expect(lastSeenMs(new Row(summary("b", { last_activity: null })))).toBeUndefined();
  });

  it("tell whether a device runs its setup", () => {
    expect(setupState(summary("a"))).toBe("none");
    expect(setupState(summary("a", { setup_version: 1 }))).toBe("in sync");
    expect(setupState(summary("a", { setup_version: 1, in_sync: false }))).toBe("pending");
  });

  it.each([
    [undefined, ""], [1.23456789, "1.23457"], [1e21, "1e+21"], ["<b>", "<b>"], [{ a: [1] }, '{"a":[1]}'],
    [null, "null"],
  ])(
    "show %j as %j", (value, text) => {
      expect(shortValue(value)).toBe(text);
    },
  );
});
