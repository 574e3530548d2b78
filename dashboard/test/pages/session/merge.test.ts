// @vitest-environment node
import { expect, test } from "vitest";
import { formatJson, parseJson, type Json } from "@/client/json";
import { merge, pointer, withItem, type Merged } from "@/pages/session/setup/merge";

function json(value: unknown): Json | undefined {
  if (value === undefined) return undefined;
  const parsed = parseJson(JSON.stringify(value));
  return parsed.ok ? parsed.value : undefined;
}

function plain(value: Json | undefined): unknown {
  return value === undefined ? undefined : (JSON.parse(formatJson(value)) as unknown);
}

function joined(base: unknown, mine: unknown, theirs: unknown): Merged {
  return merge(json(base), json(mine), json(theirs));
}

test.each([
  ["both changed something else", { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 2 }, { a: 2, b: 2 }],
  ["both added", {}, { a: 1 }, { b: 1 }, { b: 1, a: 1 }],
  ["both made the same change", { a: 1 }, { a: 2 }, { a: 2 }, { a: 2 }],
  ["I took one away, they changed another", { a: 1, b: 1 }, { b: 1 }, { a: 1, b: 2 }, { b: 2 }],
  ["they took one away, I changed another", { a: 1, b: 1 }, { a: 1, b: 2 }, { b: 1 }, { b: 2 }],
  [
    "deep",
    { a: { b: { c: 1, d: 1 } } },
    { a: { b: { c: 2, d: 1 } } },
    { a: { b: { c: 1, d: 2 } } },
    { a: { b: { c: 2, d: 2 } } },
  ],
  ["different items of one list", { l: [1, 2, 3] }, { l: [9, 2, 3] }, { l: [1, 2, 8] }, { l: { 0: 9, 1: 2, 2: 8 } }],
  ["only they changed the list", { l: [1, 2] }, { l: [1, 2] }, { l: [1] }, { l: [1] }],
  ["there was no setup, and both made one", null, { a: 1 }, { b: 2 }, { b: 2, a: 1 }],
  ["null is a value", { a: 1 }, { a: null }, { a: 1, b: null }, { a: null, b: null }],
])("joins: %s", (_, base, mine, theirs, expected) => {
  const { value, clashes } = joined(base, mine, theirs);
  const wanted = "l" in expected && !Array.isArray(expected.l) ? { l: Object.values(expected.l as object) } : expected;
  expect(clashes).toEqual([]);
  expect(plain(value)).toEqual(wanted);
});

test.each([
  ["a member changed twice", { a: 1 }, { a: 2 }, { a: 3 }, "/a", [2, 3]],
  ["taken away and changed", { a: 1 }, {}, { a: 3 }, "/a", [undefined, 3]],
  ["changed and taken away", { a: 1 }, { a: 2 }, {}, "/a", [2, undefined]],
  ["added twice, differently", {}, { a: 2 }, { a: 3 }, "/a", [2, 3]],
  [
    "a list made longer twice",
    { l: [1] },
    { l: [1, 2] },
    { l: [1, 3] },
    "/l",
    [
      [1, 2],
      [1, 3],
    ],
  ],
  ["an object became two other things", { a: {} }, { a: 1 }, { a: [] }, "/a", [1, []]],
  ["the whole", 1, 2, 3, "", [2, 3]],
  ["a name with slashes", { "a/b~c": 1 }, { "a/b~c": 2 }, { "a/b~c": 3 }, "/a~1b~0c", [2, 3]],
  ["the same item", { l: [1, 1] }, { l: [1, 2] }, { l: [1, 3] }, "/l/1", [2, 3]],
])("asks: %s", (_, base, mine, theirs, place, [one, other]) => {
  const { value, clashes } = joined(base, mine, theirs);
  expect(clashes.map((clash) => pointer(clash.path))).toEqual([place]);
  expect([plain(clashes[0]?.mine), plain(clashes[0]?.theirs)]).toEqual([one, other]);
  expect(plain(value)).toEqual(plain(json(mine))); // mine, until it is settled
  const settled = withItem(value, clashes[0]?.path ?? [], clashes[0]?.theirs);
  expect(plain(settled)).toEqual(plain(json(theirs)));
});

test("a clash does not hide what can be joined", () => {
  const { value, clashes } = joined({ a: 1, b: 1, c: 1 }, { a: 2, b: 2, c: 1 }, { a: 3, b: 1, c: 3 });
  expect(clashes).toHaveLength(1);
  expect(plain(value)).toEqual({ a: 2, b: 2, c: 3 });
});

test("integers beyond 2^53 are told apart", () => {
  const big = (text: string): Json | undefined => {
    const parsed = parseJson(`{"n":${text}}`);
    return parsed.ok ? parsed.value : undefined;
  };
  const { value, clashes } = merge(big("9007199254740993"), big("9007199254740993"), big("9007199254740992"));
  expect([formatJson(value as Json, 0), clashes]).toEqual(['{"n":9007199254740992}', []]);
});

test("__proto__ is a name like any other", () => {
  const parsed = parseJson('{"__proto__":{"x":2}}');
  const { value } = merge(json({}), parsed.ok ? parsed.value : undefined, json({ a: 1 }));
  expect(formatJson(value as Json, 0)).toBe('{"a":1,"__proto__":{"x":2}}');
  expect("x" in {}).toBe(false);
});
