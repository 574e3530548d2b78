import { describe, expect, it } from "vitest";
import { duration, relativeTime, toMs } from "@/client/times";

const now = 1_800_000_000_000;

describe("times", () => {
  it("are read from seconds and ISO 8601, and from nothing else", () => {
    expect(toMs(1.5)).toBe(1500);
    expect(toMs("2026-11-20T09:26:32.054Z")).toBe(Date.UTC(2026, 10, 20, 9, 26, 32, 54));
    for (const none of [null, undefined, "soon", 1e300]) expect(toMs(none)).toBeUndefined();
  });

  it.each([
    [500, /^now$/],
    [59_999, /^59 ?s/],
    [60_000, /^1 ?m/], // how short a word is, is the browser's business
    [3_599_000, /^59 ?m/],
    [26 * 3_600_000, /^yesterday$/],
    [-5000, /^in 5 ?s/],
  ])("%d ms ago are %s", (past, words) => {
    expect(relativeTime(now - past, now)).toMatch(words);
  });

  it.each([
    [0.4, "0.4 s"], [12, "12 s"], [185, "3 min 5 s"], [7800, "2 h 10 min"], [3600, "1 h"], [200_000, "2 d 7 h"],
    [NaN, "–"],
  ])("%d s last %s", (seconds, words) => {
    expect(duration(seconds)).toBe(words);
  });
});
