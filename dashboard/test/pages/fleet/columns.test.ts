import { describe, expect, it } from "vitest";
import { Row } from "@/client/rows";
import { columnsOf, lastSeenMs, setupState } from "@/pages/fleet/columns";
import { shortValue } from "@/pages/fleet/values";
import { summary } from "../../summaries";

describe("columns", () => {
  it("are those that are known, and data keys, whatever they are called", () => {
    const found = columnsOf(["name", "nope", "value:", "value:__proto__"]);
    expect(found.map(({ title }) => title)).toEqual(["Name", "__proto__"]);
    expect(columnsOf(["value:constructor"])[0]?.key(new Row(summary("a")))).toBeUndefined();
  });

  it("leave names more room on a narrow screen", () => {
    const width = (isNarrow: boolean): number => parseFloat(columnsOf(["state"], isNarrow)[0]?.width ?? "");
    expect(width(true)).toBeLessThan(width(false));
    expect(columnsOf(["name"], true)).toEqual(columnsOf(["name"]));
  });

  it("tell the last sign of life from what was told and what was seen", () => {
    const row = new Row(summary("a", { last_activity: 5 }));
    expect(lastSeenMs(row)).toBe(5000);
    row.note(11, 1, 9000);
    expect(lastSeenMs(row)).toBe(9000);
    row.note(12, 1, 4000); // by a clock that is behind the service's
    expect(lastSeenMs(row)).toBe(4000);
    row.tell(summary("a", { last_activity: 5, setup_version: 2 }));
    expect(lastSeenMs(row)).toBe(4000);
    row.tell(summary("a", { last_activity: 6 }));
    expect(lastSeenMs(row)).toBe(6000);
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
