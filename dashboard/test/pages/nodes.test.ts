import type { Node, Stats } from "muster-client/rest_types";
import { describe, expect, it } from "vitest";
import { load, memory, nodeState, serviceFigures, uptime } from "@/pages/nodes/figures";

const node = (more: Partial<Node> = {}): Node => ({
  node_id: "a-1", seen_at: "2026-11-20T09:26:32.054Z", ready: true, draining: false, ...more,
});
const stats = (redis: Partial<Stats["redis"]>): Stats => ({
  sessions: { active: 1, inactive: 0, archived: 0 },
  nodes: 2, connections: 12_345, devices: 1, dashboards: 1, samples_stored: 5, workers: 0, jobs: {},
  redis: { version: "9", used_memory_bytes: 1024, max_memory_bytes: 0, ...redis },
  time: "2026-11-20T09:26:32.054Z",
});

describe("a node", () => {
  it("that drains is not called broken", () => {
    expect(nodeState(node({ ready: false, draining: true }))).toBe("draining");
    expect(nodeState(node({ ready: false }))).toBe("not ready");
    expect(nodeState(node())).toBe("ready");
  });

  it("of an older version has no load, and is shown all the same", () => {
    expect([load(node()).text, memory(node()).text]).toEqual(["–", "–"]);
    expect(load(node({ cpu_percent: 42.4 })).text).toBe("42 %");
    expect(memory(node({ memory_bytes: 90 * 2 ** 20, memory_available_percent: 61.2 }))).toEqual({
      text: "90 MiB", title: "61 % of the machine's or container's is free",
    });
  });
});

describe("how long a node runs", () => {
  it("is said with the time since when", () => {
    const { text, title } = uptime(node({ uptime_s: 65 }), Date.UTC(2026, 10, 20, 12, 1, 5));
    expect(text).toBe("1 min 5 s");
    expect(title).toMatch(/^since .*\b2026\b.*:00:00/);
    expect(uptime(node(), 0).text).toBe("–");
  });
});

describe("the service in figures", () => {
  const figure = (label: string, redis: Partial<Stats["redis"]> = {}): unknown =>
    serviceFigures(stats(redis)).find((one) => one.label === label);

  it("marks what is wrong", () => {
    expect(figure("Workers")).toEqual({ label: "Workers", value: "0", tone: "bad" });
    expect(figure("Connections")).toEqual({ label: "Connections", value: "12,345" });
  });

  it("says of Redis what Redis lets it know", () => {
    const of = (redis: Partial<Stats["redis"]>): unknown => figure("Memory of Redis", redis);
    expect(of({})).toMatchObject({ value: "1.0 KiB", note: "no limit is set" });
    expect(of({ used_memory_bytes: null })).toMatchObject({ value: "–", note: "Redis does not say" });
    expect(of({ used_memory_bytes: 95, max_memory_bytes: 100 })).toMatchObject({ note: "of 100 B", tone: "bad" });
    expect(of({ used_memory_bytes: 80, max_memory_bytes: 100 })).not.toHaveProperty("tone");
  });
});
