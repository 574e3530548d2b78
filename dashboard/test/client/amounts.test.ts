// @vitest-environment node
import { expect, test } from "vitest";
import { bytes, count, counted } from "@/client/amounts";

test.each([
  [0, "0 files"],
  [1, "1 file"],
  [2, "2 files"],
  [12_345, "12,345 files"],
])("%d is %s", (amount, words) => {
  expect(counted(amount, "file")).toBe(words);
});

test("words that do not end in s have a plural of their own", () => {
  expect([counted(1, "session is", "sessions are"), counted(2, "session is", "sessions are")]).toEqual([
    "1 session is",
    "2 sessions are",
  ]);
});

test("numbers are written in one way, wherever the reader is", () => {
  expect([count(1234.567), count(99.96, 1), count(12_345.6, 0), bytes(1536)]).toEqual([
    "1,234.567",
    "100",
    "12,346",
    "1.5 KiB",
  ]);
});
