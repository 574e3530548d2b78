// @vitest-environment node
import { expect, test } from "vitest";
import { newDraft, redo, replace, type, undo } from "@/pages/session/setup/draft";

test("typing in one go is one step, and a pause begins another", () => {
  let draft = newDraft("");
  for (const [text, at] of [
    ["a", 1000],
    ["ab", 1200],
    ["abc", 1400],
    ["abc d", 5000],
    ["abc de", 5100],
  ] as const) {
    draft = type(draft, text, at);
  }
  draft = undo(draft);
  expect(draft.text).toBe("abc");
  draft = undo(draft);
  expect(draft.text).toBe("");
  expect(undo(draft)).toBe(draft);
  draft = redo(redo(draft));
  expect(draft.text).toBe("abc de");
  expect(redo(draft)).toBe(draft);
});

test("what is typed after a step back ends the way forth, and is a step of its own", () => {
  let draft = type(type(newDraft("a"), "ab", 1000), "abc", 9000);
  draft = type(undo(draft), "ax", 9100);
  expect(draft.future).toEqual([]);
  expect(undo(draft).text).toBe("ab");
});

test("a merged text is one step, however soon it comes", () => {
  const draft = replace(type(newDraft("a"), "ab", 1000), "merged");
  expect(undo(draft).text).toBe("ab");
  expect(undo(type(draft, "merged!", 1001)).text).toBe("merged");
});

test("steps are bounded, in number and in size", () => {
  let draft = newDraft("0");
  for (let count = 1; count <= 500; count += 1) draft = replace(draft, String(count));
  expect(draft.past).toHaveLength(200);
  for (let count = 0; count < 20; count += 1) draft = replace(draft, String(count).repeat(500_000));
  expect(draft.past.reduce((sum, step) => sum + step.length, 0)).toBeLessThanOrEqual(8_000_000);
});
