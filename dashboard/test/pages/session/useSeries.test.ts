// @vitest-environment node
import { Refused, type SampleRow } from "muster-client";
import { beforeEach, expect, test, vi } from "vitest";
import { nextTick, ref, type Ref } from "vue";
import { useSeries, type SeriesSet } from "@/pages/session/charts/useSeries";
import { inScope, settled, TestClient, testFeed, type TestFeed } from "./support";

let client: TestClient;
let feed: TestFeed;
vi.mock("@/stores/client", () => ({ useClient: () => client }));
beforeEach(() => {
  client = new TestClient();
  feed = testFeed();
});

function comes(samples: SampleRow[], isConflated = false): void {
  feed.tell({ kind: "samples", sessionId: "kiosk-7", rev: 1, samples, isConflated });
}
const times = (series: SeriesSet, key: string): number[] =>
  (series.of(key)?.within(-Infinity, Infinity) ?? []).map((row) => row[1]);

const ALL = { from: -Infinity, to: Infinity, shown: { from: 0, to: 10 }, columns: 300 };
function shown(picked: Ref<string[]> = ref(["t"])): SeriesSet {
  const series = inScope(() => useSeries(feed, picked));
  series.want(ALL);
  return series;
}

test("what comes while the history is on its way is neither lost nor twice", async () => {
  const series = shown();
  comes([
    ["t", 3, 3],
    ["other", 1, 3],
  ]);
  client.answer({
    data: {
      t: [
        [1, 1],
        [2, 2],
        [3, 3],
      ],
    },
  });
  await settled();
  comes([["t", 4, 4]]);
  expect(times(series, "t")).toEqual([1, 2, 3, 4]);
});

test("after a gap of the feed the history fills it", async () => {
  const series = shown();
  client.answer({ data: { t: [[1, 1]] } });
  await settled();
  feed.tell({ kind: "reset" });
  series.want(ALL);
  comes([["t", 5, 5]]);
  client.answer({
    data: {
      t: [
        [2, 2],
        [3, 3],
        [5, 5],
      ],
    },
  });
  await settled();
  expect(times(series, "t")).toEqual([2, 3, 5]);
});

test("after conflated samples the history is read again, once it is over", async () => {
  const series = shown();
  client.answer({ data: {} });
  await settled();
  comes([["t", 9, 9]], true);
  feed.tell({ kind: "state", state: "conflated" });
  expect(client.asked).toHaveLength(1);
  feed.tell({ kind: "state", state: "live" });
  series.want(ALL);
  client.answer({
    data: {
      t: [
        [8, 8],
        [9, 9],
      ],
    },
  });
  await settled();
  feed.tell({ kind: "state", state: "live" });
  series.want(ALL);
  expect(client.asked).toHaveLength(2);
  expect(times(series, "t")).toEqual([8, 9]);
});

test("a key may be called as what every object has", async () => {
  const series = shown(ref(["constructor", "__proto__"]));
  client.answer({ data: {} });
  await settled();
  comes([["__proto__", 1, 1]]);
  expect([times(series, "constructor"), times(series, "__proto__")]).toEqual([[], [1]]);
  expect(series.error.value).toBeUndefined();
});

test("an answer for a key that was dropped and picked again is not taken for the new one", async () => {
  const picked = ref(["a"]);
  const series = shown(picked);
  picked.value = ["b"];
  await nextTick();
  picked.value = ["b", "a"];
  await nextTick();
  series.want(ALL);
  client.answer({ data: { a: [[1, 1]] } });
  await settled();
  expect(times(series, "a")).toEqual([]);
  client.answer({ data: { b: [[2, 2]], a: [[3, 3]] } });
  await settled();
  expect([times(series, "a"), times(series, "b")]).toEqual([[3], [2]]);
});

test("what is there is not read again, nor all the time what cannot be read", async () => {
  const series = shown();
  series.want(ALL); // it is on its way
  client.answer({ data: { t: [[1, 1]] } });
  await settled();
  series.want(ALL);
  series.want({ ...ALL, from: 5, shown: { from: 5, to: 6 } });
  expect(client.asked).toHaveLength(1);
  series.reload();
  series.want(ALL);
  client.answer(new Refused({ code: "store_unavailable" }));
  await settled();
  series.want(ALL);
  expect([client.asked.length, series.error.value instanceof Refused]).toEqual([2, true]);
});

test("a clock that is behind does not hide what has just come", async () => {
  const series = shown();
  expect(series.shiftS()).toBe(0);
  comes([["t", 1, Date.now() / 1000 + 3600]]);
  comes([["t", 1, Date.now() / 1000 - 50]]); // late, and no clock
  await settled();
  expect(series.shiftS()).toBeCloseTo(3600, 0);
});
