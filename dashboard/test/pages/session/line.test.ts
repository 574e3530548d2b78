// @vitest-environment node
import { expect, test } from "vitest";
import { gapAfterS, lineOf, lowerBound, thin, type Line } from "@/pages/session/charts/line";
import type { Row } from "@/pages/session/charts/series";

const every = (count: number, distance = 1, from = 0): Row[] =>
  Array.from({ length: count }, (_, index) => [index, from + index * distance]);

test("a gap is five times the usual distance, or three times what the device says", () => {
  expect(gapAfterS([0, 1, 2, 3, 100])).toBe(5);
  expect(gapAfterS([0, 60, 120, 180, 240, 900])).toBe(300);
  expect(gapAfterS([0, 0.01, 0.02])).toBe(2);
  expect(gapAfterS([0, 1, 2], 3600)).toBe(10_800);
  expect(gapAfterS([5])).toBe(Infinity);
  expect(gapAfterS([5, 5, 5])).toBe(Infinity);
});

test("the line ends at a gap and begins again behind it", () => {
  const line = lineOf([...every(3), ...every(2, 1, 50)], 5);
  expect(line.x).toEqual([0, 1, 2, 26, 50, 51]);
  expect(line.y).toEqual([0, 1, 2, null, 0, 1]);
});

test("a time without a connection is a gap, however short", () => {
  const spans = [{ from: 1.2, to: 1.6 }];
  expect(lineOf(every(4), 100, spans).y).toEqual([0, 1, null, 2, 3]);
  expect(lineOf(every(4), 100, [{ from: 0.5, to: 1.5 }]).y).toEqual([0, 1, 2, 3]); // a sample came in it
});

test("what is no number is a gap too", () => {
  expect(
    lineOf(
      [
        [1, 0],
        ["NaN", 1],
        [3, 2],
      ],
      10,
    ).y,
  ).toEqual([1, null, 3]);
});

test("few points stay as they are, with a neighbour on both sides of what is shown", () => {
  const line = lineOf(every(100), 10);
  expect(thin(line, 10, 20, 500).x).toEqual([9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21]);
});

test("many points become few, and no peak, valley or gap is lost", () => {
  const line: Line = { x: [], y: [] };
  for (let index = 0; index < 50_000; index += 1) {
    line.x.push(index);
    line.y.push(index === 31_234 ? null : index === 7_777 ? 1000 : index === 7_778 ? -1000 : Math.sin(index));
  }
  const shown = thin(line, 0, 50_000, 300);
  expect(shown.x.length).toBeLessThan(300 * 5);
  expect(shown.y).toContain(1000);
  expect(shown.y).toContain(-1000);
  expect(shown.y).toContain(null);
  expect([shown.x[0], shown.x.at(-1)]).toEqual([0, 49_999]);
  expect(shown.x.every((x, index) => index === 0 || x > (shown.x[index - 1] as number))).toBe(true);
});

test("zooming in shows every point again", () => {
  const line = lineOf(every(50_000), 10);
  expect(thin(line, 100, 150, 300).x).toHaveLength(53);
});

test("the first that is not below", () => {
  expect([0, 1, 1.5, 9].map((value) => lowerBound([1, 1, 2, 3], value))).toEqual([0, 0, 2, 4]);
});

test("where only intervals are known, one without a sample is no gap yet", () => {
  const coarse = { rows: [], until: 100, stepS: 10 };
  const rows: Row[] = [[1, 0], [2, 20], [3, 50], [4, 101], [5, 104]];
  expect(lineOf(rows, 2, [], coarse).y).toEqual([1, 2, null, 3, null, 4, null, 5]);
});
