// @vitest-environment node
import { expect, test } from "vitest";
import { countChanges, diffLines, type DiffLine } from "@/pages/session/setup/diff";

/** Put both texts together again from what the comparison shows of them. */
function texts(lines: readonly DiffLine[]): [string, string] {
  const of = (kinds: string[]): string =>
    lines.flatMap((line) => (line.kind !== "skipped" && kinds.includes(line.kind) ? [line.text] : [])).join("\n");
  return [of(["same", "removed"]), of(["same", "added"])];
}

const shown = (lines: readonly DiffLine[]): string[] =>
  lines.map((line) =>
    line.kind === "skipped" ? `…${line.count}` : `${{ same: " ", added: "+", removed: "-" }[line.kind]}${line.text}`,
  );

test.each([
  ["a\nb\nc", "a\nx\nc", [" a", "-b", "+x", " c"]],
  ["a\nb", "a\nb", ["…2"]],
  ["a", "a\nb", [" a", "+b"]],
  ["a\nb", "b", ["-a", " b"]],
  ["", "a", ["-", "+a"]],
  ["a\na\na", "a\na", [" a", " a", "-a"]],
])("%j and %j", (before, after, expected) => {
  expect(shown(diffLines(before, after))).toEqual(expected);
});

test("any two texts can be put together again, by the fewest edits", () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  const lengthOfLongestCommon = (one: string[], other: string[]): number => {
    const row = new Array<number>(other.length + 1).fill(0);
    for (const a of one) {
      let corner = 0;
      other.forEach((b, index) => {
        const above = row[index + 1] as number;
        row[index + 1] = a === b ? corner + 1 : Math.max(above, row[index] as number);
        corner = above;
      });
    }
    return row.at(-1) as number;
  };
  for (let round = 0; round < 300; round += 1) {
    const text = (): string[] => Array.from({ length: 1 + random(12) }, () => "abc"[random(3)] as string);
    const [before, after] = [text(), text()];
    if (before.join() === after.join()) continue; // nothing is shown of them
    const lines = diffLines(before.join("\n"), after.join("\n"), Infinity);
    expect(texts(lines)).toEqual([before.join("\n"), after.join("\n")]);
    const { added, removed } = countChanges(lines);
    expect(added + removed).toBe(before.length + after.length - 2 * lengthOfLongestCommon(before, after));
  }
});

test("lines are numbered on both sides, and those far from a change are left out", () => {
  const before = Array.from({ length: 30 }, (_, index) => String(index));
  const lines = diffLines(before.join("\n"), before.with(15, "x").join("\n"), 1);
  expect(shown(lines)).toEqual(["…14", " 14", "-15", "+x", " 16", "…13"]);
  expect(lines[1]).toMatchObject({ before: 15, after: 15 });
  expect(lines[4]).toMatchObject({ before: 17, after: 17 });
});

test("two long texts with nothing in common take no time", () => {
  const text = (word: string): string => Array.from({ length: 20_000 }, (_, index) => `${word}${index}`).join("\n");
  const begin = performance.now();
  expect(countChanges(diffLines(text("a"), text("b")))).toEqual({ added: 20_000, removed: 20_000 });
  expect(performance.now() - begin).toBeLessThan(5_000);
});
