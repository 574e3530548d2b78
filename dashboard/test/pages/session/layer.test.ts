// @vitest-environment node
import { Refused } from "muster-client";
import type { Request } from "muster-client/rest";
import { expect, test } from "vitest";
import { fits, readLayer, type Answer, type Layer, type Wanted } from "@/pages/session/charts/layer";
import type { Row } from "@/pages/session/charts/series";

type Query = NonNullable<Request["query"]>;

/** A service with these samples, which answers with at most four points. */
function service(samples: readonly Row[]): { asked: Query[]; get: (query: Request["query"]) => Promise<Answer> } {
  const asked: Query[] = [];
  function get(query: Query = {}): Promise<Answer> {
    asked.push(query);
    const { since = -Infinity, until = Infinity, step, agg } = query as Record<string, number> & { agg?: string };
    let rows = samples.filter(([, ts]) => ts >= since && ts < until);
    if (step !== undefined && step > 0) {
      const found = new Map<number, number>();
      for (const [value, ts] of rows as [number, number][]) {
        const at = Math.floor(ts / step) * step;
        found.set(at, Math[agg as "min" | "max"](found.get(at) ?? value, value));
      }
      rows = [...found].map(([at, value]): Row => [value, at]);
    }
    const cut = step === 0 && rows.length > 4 ? ["t"] : [];
    const oldest = samples[0]?.[1] ?? null;
    return Promise.resolve({
      data: { t: cut.length > 0 ? rows.slice(-4) : rows }, cut, setting: "sessions.history",
      kept: { t: { oldest, samples: samples.length, at_most: 100 } },
    });
  }
  return { asked, get };
}

const every = (count: number): Row[] => Array.from({ length: count }, (_, index): Row => [index % 7, index]);
const wanted = (from: number, to: number, more: Partial<Wanted> = {}): Wanted => ({
  keys: ["t"], from, to, shown: { from, to }, columns: 10, ...more,
});

test("few samples are read as they are, with what is around them", async () => {
  const { asked, get } = service(every(100));
  const layer = await readLayer(get, wanted(50, 52));
  expect(asked).toEqual([{ keys: ["t"], since: 49, until: 53, step: 0 }]);
  expect([layer.samples.get("t")?.length, layer.coarse.size, layer.from, layer.to]).toEqual([4, 0, 49, 53]);
});

test("where there are more, intervals as wide as a column come before the last ones, without a hole", async () => {
  const { asked, get } = service(every(100));
  const layer = await readLayer(get, wanted(-Infinity, Infinity, { shown: { from: 0, to: 100 } }));
  expect(asked.map((one) => [one["since"], one["until"], one["step"], one["agg"]])).toEqual([
    [undefined, undefined, 0, undefined], [0, 96, 10, "min"], [0, 96, 10, "max"],
  ]);
  const coarse = layer.coarse.get("t");
  expect([coarse?.until, coarse?.stepS, layer.samples.get("t")?.[0]]).toEqual([96, 10, [5, 96]]);
  expect(coarse?.rows.slice(0, 2)).toEqual([[0, 2.5], [6, 7.5]]);
  expect(coarse?.rows.every(([, ts]) => ts < 96)).toBe(true);
});

test("how far back the service goes is told, and nothing older is asked for", async () => {
  const { get } = service(every(100).slice(40));
  const layer = await readLayer(get, wanted(35, 42));
  expect(layer.kept).toEqual({ setting: "sessions.history", oldest: 40, atMost: 100, isFull: false });
  expect(layer.from).toBe(-Infinity);
});

test("a step is never finer than a column, nor than the service has it", async () => {
  const { asked, get } = service(every(5).map(([value, ts]): Row => [value, ts / 1e6]));
  await readLayer(get, wanted(-Infinity, Infinity, { shown: { from: 0, to: 0.000_005 } }));
  expect(asked[1]?.["step"]).toBe(0.001);
});

const layer = (more: Partial<Layer>): Layer => ({
  keys: ["t"], from: 0, to: 100, samples: new Map(), coarse: new Map(),
  kept: { setting: "", oldest: 0, atMost: 1, isFull: false }, ...more,
});
const coarse = new Map([["t", { rows: [], until: 90, stepS: 10 }]]);

test.each<[string, Partial<Layer>, Wanted, boolean]>([
  ["a part of it", {}, wanted(10, 20), true],
  ["another key", {}, wanted(10, 20, { keys: ["t", "u"] }), false],
  ["older", {}, wanted(-1, 20), false],
  ["newer", {}, wanted(10, 101), false],
  ["the present", { to: Infinity }, wanted(10, Infinity, { shown: { from: 10, to: 20 } }), true],
  ["intervals as wide as columns", { coarse }, wanted(0, 100), true],
  ["intervals that have become wide", { coarse }, wanted(10, 20), false],
  ["each sample, beside wide intervals", { coarse }, wanted(91, 92), true],
])("what is read has, or has not, %s", (_, part, asked, has) => {
  expect(fits(layer(part), asked)).toBe(has);
});

test("a node of an earlier version, which has no samples by time, is asked for all, once", async () => {
  const asked: Query[] = [];
  const get = (query: Request["query"] = {}): Promise<Answer> => {
    asked.push(query);
    if (query["step"] !== undefined) return Promise.reject(new Refused({ code: "invalid_request" }));
    return Promise.resolve({ data: { t: [[2, 20], [1, 10]] } } as unknown as Answer);
  };
  const layer = await readLayer(get, wanted(50, 52));
  expect(asked).toEqual([{ keys: ["t"], since: 49, until: 53, step: 0 }, { keys: ["t"] }]);
  expect(layer.samples.get("t")).toEqual([[1, 10], [2, 20]]);
  expect([layer.kept, fits(layer, wanted(0, 1))]).toEqual([undefined, true]);
  const away = (): Promise<Answer> => Promise.reject(new Refused({ code: "store_unavailable" }));
  await expect(readLayer(away, wanted(50, 52))).rejects.toThrow("store_unavailable");
});
