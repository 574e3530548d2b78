import { mount, type VueWrapper } from "@vue/test-utils";
import { h, ref, type Component } from "vue";
import { describe, expect, it } from "vitest";
import DataTable from "@/components/table/DataTable.vue";
import { sparkPath } from "@/components/sparkPath";
import { leastWidth, movedRow, nextSort, type TableKeys, type TablePlace } from "@/components/table/table";
import { useSelection } from "@/pages/fleet/list/useSelection";

describe("table", () => {
  const columns = [{ id: "name", title: "Name", width: "1fr" }];
  const ids = ["a", "b", "c"];

  function mounted(selected: ReadonlySet<string> = new Set(), start?: TablePlace): VueWrapper {
    const cell = ({ id }: { id: string }): unknown => h("b", id);
    const table = DataTable as Component; // its slot has types that a test cannot name
    return mount(table, { props: { label: "Rows", columns, ids, selected, start }, slots: { cell } }) as VueWrapper;
  }

  it("says how long it is, and who sorts it", async () => {
    const table = mounted();
    expect(table.attributes("aria-rowcount")).toBe("4");
    await table.get("[role=columnheader] button").trigger("click");
    expect(table.emitted("sort")).toEqual([[{ by: "name", isDescending: false }]]);
  });

  it("goes through rows by keys, and opens and selects the active one", async () => {
    const table = mounted();
    for (const key of ["ArrowDown", "ArrowDown", "Enter", "x", "ArrowUp", "Enter", "Home", "End", "Enter"]) {
      await table.trigger("keydown", { key });
    }
    expect(table.emitted("open")).toEqual([["b"], ["a"], ["c"]]);
    expect(table.emitted("select")).toEqual([[["b"], true]]);
  });

  it("begins where a reader was, or at its first row on request", async () => {
    const table = mounted(new Set(), { active: "b", top: 0 });
    const keys = table.vm as unknown as TableKeys;
    expect(keys.place()).toEqual({ active: "b", top: 0 });
    await table.trigger("keydown", { key: "Enter" });
    keys.enter();
    await table.trigger("keydown", { key: "Enter" });
    expect(table.emitted("open")).toEqual([["b"], ["a"]]);
  });

  it("opens no row that was left and is not there any more", async () => {
    const table = mounted(new Set(), { active: "gone", top: 0 });
    await table.trigger("keydown", { key: "Enter" });
    expect(table.emitted("open")).toBeUndefined();
  });

  it("leaves keys of fields and with modifiers alone", async () => {
    const table = mounted();
    await table.trigger("keydown", { key: "ArrowDown", ctrlKey: true });
    await table.get("button").trigger("keydown", { key: "Enter" });
    expect(table.emitted("open")).toBeUndefined();
  });

  it("selects all of its list at once, and then none", async () => {
    const table = mounted(new Set(["a", "b", "c"]));
    await table.get("[aria-label='Select all rows of this list']").trigger("click");
    expect(table.emitted("select")).toEqual([[ids, false]]);
  });

  it("turns a sort around", () => {
    expect(nextSort({ by: "a", isDescending: false }, "a")).toEqual({ by: "a", isDescending: true });
    expect(nextSort({ by: "a", isDescending: false }, "b")).toEqual({ by: "b", isDescending: false });
  });

  it.each([
    ["ArrowDown", -1, 0], ["ArrowDown", 2, 2], ["ArrowUp", 0, 0], ["PageDown", 0, 2], ["End", 0, 2],
    ["a", 0, undefined],
  ])("moves by %s from %d to %s", (key, from, to) => {
    expect(movedRow(key, from, 3, 10)).toBe(to);
    expect(movedRow(key, from, 0, 10)).toBeUndefined();
  });
});

describe("selection", () => {
  it("stays when a filter hides a row, and says how many are hidden", () => {
    const shown = ref(["a", "b"]);
    const { selected, hidden, select, clear } = useSelection(shown);
    select(["a", "b"], true);
    shown.value = ["b"];
    expect([selected.value.size, hidden.value]).toEqual([2, 1]);
    select(["b"], false);
    expect([...selected.value]).toEqual(["a"]);
    expect([clear(), clear()]).toEqual([true, false]);
  });
});

describe("sparkline", () => {
  it("ends at the right, and is broken where nothing is known", () => {
    expect(sparkPath([], 3, 100, 24)).toBe("");
    expect(sparkPath([1], 3, 100, 24)).toBe("M100 12");
    expect(sparkPath([0, 10], 3, 100, 24)).toBe("M50 22L100 2");
    expect(sparkPath([0, undefined, 10], 3, 100, 24)).toBe("M0 22M100 2");
  });
});

it("gives head and rows the same least width, whatever stands in them", () => {
  expect(leastWidth(["2.5rem", "minmax(7.5rem, 1.5fr)", "6rem"])).toBe("16rem");
});
