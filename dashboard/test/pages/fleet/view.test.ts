import { describe, expect, it } from "vitest";
import { isFiltered, readView, writeView, type View } from "@/pages/fleet/view";

describe("view of the fleet page", () => {
  it("is usual without a query, and then writes none", () => {
    expect(writeView(readView({}))).toEqual({});
    expect(isFiltered(readView({}))).toBe(false);
  });

  it("comes back from its address as it was", () => {
    const view: View = {
      q: "hall & <b>", state: "inactive", project: "p,1", node: "n", only: "commands",
      sort: { by: "value:temp, outside", isDescending: true }, columns: ["name", "value:temp, outside", "value:a=b"],
    };
    expect(readView(writeView(view) as never)).toEqual(view);
  });

  it("takes an address that nobody wrote for it", () => {
    const view = readView({ state: "gone", only: ["x"], q: null, col: ["name", null, "", "name"], sort: "-rate" });
    expect(view).toMatchObject({ state: "", only: "", q: "", columns: ["name"] });
    expect(view.sort).toEqual({ by: "rate", isDescending: true });
  });
});
