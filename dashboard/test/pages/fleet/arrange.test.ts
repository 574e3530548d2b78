import { describe, expect, it } from "vitest";
import { Row } from "@/client/rows";
import { arrange, type Arranged } from "@/pages/fleet/list/arrange";
import { readView, type View } from "@/pages/fleet/view";
import { summary } from "../../summaries";

/** Run to the end; return the result and the number of steps that it took. */
function run(rows: Row[], part: Partial<View>): Arranged & { steps: number } {
  const listed = rows.map((row): [string, Row] => [row.summary.session_id, row]);
  const steps = arrange(listed, { ...readView({}), ...part });
  for (let count = 1; ; count += 1) {
    const step = steps.next();
    if (step.done === true) return { ...step.value, steps: count };
  }
}

const ids = (rows: Row[], part: Partial<View>): readonly string[] => run(rows, part).ids;

function valued(id: string, value: unknown): Row {
  const row = new Row(summary(id));
  if (value !== undefined) row.values.set("t", [value, 1]);
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

  it("is put in order in steps, whatever comes between", () => {
    const rows = Array.from({ length: 5_000 }, (_, index) => valued(`k-${index}`, (index * 7_919) % 1_000));
    const found = run(rows, { sort: { by: "value:t", isDescending: true } });
    const expected = rows.map((row) => ({ id: row.summary.session_id, t: row.values.get("t")?.[0] as number }));
    expected.sort((one, other) => other.t - one.t || (one.id < other.id ? -1 : 1));
    expect(found.ids).toEqual(expected.map(({ id }) => id));
    expect(found.steps).toBeGreaterThan(50);
  });

  it("knows the projects and nodes of all rows, also of those that do not fit", () => {
    const { projects, nodes } = run([tower, hall], { q: "nothing has this" });
    expect([[...projects].sort(), [...nodes].sort()]).toEqual([["", "berlin"], ["", "node-1"]]);
  });
});
