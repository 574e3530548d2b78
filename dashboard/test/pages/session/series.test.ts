// @vitest-environment node
import { expect, test } from "vitest";
import { bandOf, joinRows, MOST_SAMPLES, numberOf, Series, type Row } from "@/pages/session/charts/series";

const rows = (...times: number[]): Row[] => times.map((ts) => [ts * 10, ts]);
const allOf = (series: Series): Row[] => series.within(-Infinity, Infinity);

test.each([
  ["they overlap", rows(1, 2, 3, 4), rows(3, 4, 5), rows(1, 2, 3, 4, 5)],
  ["the history ends where the feed begins", rows(1, 2), rows(3), rows(1, 2, 3)],
  ["the history is shorter than the feed", rows(4, 5), rows(3, 4, 5, 6), rows(3, 4, 5, 6)],
  ["there is no history", [], rows(1), rows(1)],
  ["nothing came", rows(1), [], rows(1)],
  ["one came late", rows(1, 3, 2), rows(2, 4), rows(1, 2, 3, 4)],
])("joins without a seam: %s", (_, history, live, expected) => {
  expect(joinRows(history, live)).toEqual(expected);
});

test("samples that are alike are kept as often as they came", () => {
  const one: Row = [5, 1];
  expect(joinRows([one, one], [one])).toEqual([one, one]);
  expect(joinRows([one], [one, one])).toEqual([one, one]);
});

test("two values of one time are two samples, in the order in which they came", () => {
  expect(
    joinRows(
      [
        [1, 1],
        [2, 1],
      ],
      [
        [2, 1],
        [3, 1],
      ],
    ),
  ).toEqual([
    [1, 1],
    [2, 1],
    [3, 1],
  ]);
  const series = new Series();
  for (const value of [1, 2, 3]) series.add([value, 7]);
  expect(allOf(series)).toEqual([
    [1, 7],
    [2, 7],
    [3, 7],
  ]);
});

test('1 and true and "1" are different values', () => {
  expect(
    joinRows(
      [[1, 1]],
      [
        ["1", 1],
        [true, 1],
      ],
    ),
  ).toHaveLength(3);
});

test("what is read of another time takes the place of what was read before; what came live stays", () => {
  const series = new Series();
  series.add([10, 1]);
  series.load(rows(0, 1));
  series.add([20, 2]);
  expect(allOf(series)).toEqual(rows(0, 1, 2));
  series.load(rows(-7, -6));
  expect(allOf(series)).toEqual(rows(-7, -6, 1, 2));
  expect([series.oldest, series.newest, series.liveFrom]).toEqual([-7, 2, 1]);
});

test("what was read before it came live is there once", () => {
  const series = new Series();
  series.load(rows(1, 2, 2));
  for (const row of rows(2, 2, 2, 3)) series.add(row);
  expect(allOf(series)).toEqual(rows(1, 2, 2, 2, 3));
});

test("what is shown has a neighbour on each side, of each part", () => {
  const series = new Series();
  const coarse = { rows: rows(0, 1, 2, 3), until: 4, stepS: 1 };
  series.load(rows(4, 5, 6, 7), coarse);
  series.add([80, 8]);
  expect(series.within(2.5, 4.5).map((row) => row[1])).toEqual([2, 3, 4, 5, 8]);
});

test("an interval has its lowest and its highest value, in this order", () => {
  expect(bandOf([[1, 10], [5, 20]], [[3, 10], [5, 20]], 10)).toEqual([[1, 12.5], [3, 17.5], [5, 25]]);
  expect(bandOf([[1, 10]], [], 10)).toEqual([[1, 15]]); // the second answer came after it was dropped
});

test("a late sample goes where it belongs", () => {
  const series = new Series();
  for (const ts of [1, 3, 2, 0]) series.add([ts * 10, ts]);
  expect(allOf(series)).toEqual(rows(0, 1, 2, 3));
});

test("a page that is open for days keeps a bounded number, and counts what it dropped", () => {
  const series = new Series();
  for (let ts = 0; ts < 3 * MOST_SAMPLES; ts += 1) series.add([0, ts]);
  expect(allOf(series).length).toBeLessThanOrEqual(1.1 * MOST_SAMPLES);
  expect(allOf(series).length + series.dropped).toBe(3 * MOST_SAMPLES);
  expect(series.newest).toBe(3 * MOST_SAMPLES - 1);
});

test.each([["NaN"], ["12"], [true], [null], [{}], [[1]], [Infinity]])("%j is no number", (value) => {
  expect(numberOf(value)).toBeNull();
});
