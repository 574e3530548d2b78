import { mount } from "@vue/test-utils";
import type { Jobs } from "muster-client/rest_types";
import { describe, expect, it } from "vitest";
import SweepTable from "@/pages/jobs/SweepTable.vue";
import { isState, queueFigures, stateLabel, sweepState } from "@/pages/jobs/words";

const jobs = (more: Partial<Jobs> = {}): Jobs => ({
  jobs: [], counts: {}, oldest_s: null, sweeps: [], workers: 1, ...more,
});

describe("the queue in figures", () => {
  it("says how long the next job has waited", () => {
    const [, wait] = queueFigures(jobs({ counts: { queued: 3 }, oldest_s: 65 }));
    expect(wait).toEqual({ label: "Waiting", value: "3", note: "the next one for 1 min 5 s" });
  });

  it("marks that nobody works, and that jobs have failed", () => {
    const marked = queueFigures(jobs({ counts: { failed: 2 }, workers: 0 })).filter((one) => one.tone === "bad");
    expect(marked.map((one) => one.label)).toEqual(["Workers", "Failed"]);
    expect(queueFigures(jobs()).some((one) => one.tone !== undefined)).toBe(false);
  });
});

describe("sweeps and states", () => {
  it("tells a sweep that is late from one that has not run yet", () => {
    const sweep = { sweep: "sweep_idle", every_s: 1 };
    expect(sweepState({ ...sweep, ran_s_ago: null, late: false })).toBe("not yet");
    expect(sweepState({ ...sweep, ran_s_ago: null, late: true })).toBe("late");
    expect(sweepState({ ...sweep, ran_s_ago: 0.5, late: false })).toBe("ok");
  });

  it("says when a sweep ran, also exactly", () => {
    const sweeps = [
      { sweep: "sweep_idle", every_s: 10, ran_s_ago: 75, late: false },
      { sweep: "collect_litter", every_s: 600, ran_s_ago: null, late: false },
    ];
    const table = mount(SweepTable, { props: { sweeps } });
    const time = table.get("time");
    expect([time.text(), table.text().includes("never")]).toEqual(["1m ago", true]);
    expect(Date.now() - Date.parse(time.attributes("datetime") ?? "")).toBeGreaterThanOrEqual(75_000);
    expect(time.attributes("title")).toMatch(/\d:\d\d:\d\d/);
  });

  it("takes no state from the address that the API does not know", () => {
    expect([isState("failed"), isState("<b>"), isState(undefined)]).toEqual([true, false, false]);
    expect(stateLabel("of_later")).toBe("of_later");
  });
});
