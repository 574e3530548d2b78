// @vitest-environment node
import { expect, test } from "vitest";
import { formatJson, isSame, parseJson, type Json } from "@/client/json";

function read(text: string): Json {
  const parsed = parseJson(text);
  if (!parsed.ok) throw new Error(`${parsed.message} at ${parsed.line}:${parsed.column}`);
  return parsed.value;
}

test.each([
  "9007199254740993",
  "18446744073709551615",
  "-9223372036854775808",
  "1.0",
  "1e2",
  "-0",
  "0.10",
  '{"b":1,"a":2,"10":3,"9":4}',
  '{"__proto__":{"x":1},"constructor":null}',
  '"\\ud800"',
  '""',
  "[]",
  "{}",
  "[[],{}]",
  '"line\\nbreak \\"quoted\\" \\\\ \u{1f600} \u05d0"',
  "[true,false,null]",
])("what is read and written is what it was: %s", (text) => {
  expect(formatJson(read(text), 0)).toBe(text);
  expect(formatJson(read(formatJson(read(text))), 0)).toBe(text);
});

test("it is written so that an editor shows all of it, and says the same", () => {
  const value = { "\u202ea": "b\u200b\u{e0041}\\\u202e", "é\u200d": "\n", m: `a${"\u0301".repeat(9)}` };
  const written = formatJson(read(JSON.stringify(value)), 0);
  const marks = "\u0301".repeat(8);
  expect(written).toBe(
    `{"\\u202ea":"b\\u200b\\udb40\\udc41\\\\\\u202e","é\u200d":"\\n","m":"a${marks}\\u0301"}`,
  );
  expect(JSON.parse(written)).toEqual(value);
});

test("the layout is that of JSON.stringify", () => {
  const value = { a: [1, { b: [] }, "x"], c: {}, d: { e: null } };
  expect(formatJson(read(JSON.stringify(value)))).toBe(JSON.stringify(value, null, 2));
});

test.each([
  ["", 1, 1],
  ["{", 1, 2],
  ['{"a":1,}', 1, 8],
  ["[1,]", 1, 4],
  ['{"a" 1}', 1, 6],
  ["{a:1}", 1, 2],
  ["NaN", 1, 1],
  ["01", 1, 2],
  ["1.", 1, 2],
  ["+1", 1, 1],
  ["'a'", 1, 1],
  ['{\n  "a": tru\n}', 2, 8],
  ["[1] [2]", 1, 5],
  ['"a\nb"', 1, 1],
  ['"\\x"', 1, 1],
  ["\u00a01", 1, 1],
  ["// no", 1, 1],
  ["Infinity", 1, 1],
  ['{"a":1 "b":2}', 1, 8],
])("%j is refused, and the place is named", (text, line, column) => {
  expect(parseJson(text)).toMatchObject({ ok: false, line, column });
  expect(() => JSON.parse(text) as unknown).toThrow();
});

test("32 levels are taken, 33 are not", () => {
  const nested = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
  expect(parseJson(nested(32)).ok).toBe(true);
  expect(parseJson(nested(33))).toMatchObject({ ok: false, column: 33 });
  expect(parseJson(nested(200_000))).toMatchObject({ ok: false });
});

test("a member that comes twice is named, and the last one counts", () => {
  const parsed = parseJson('{"a":1,"b":{"c":1,"c":2}}');
  expect(parsed).toMatchObject({ ok: true, repeated: ["c"] });
  expect(formatJson(read('{"a":1,"a":2}'), 0)).toBe('{"a":2}');
});

test("order of members makes no difference, digits and items do", () => {
  expect(isSame(read('{"a":1,"b":[1,2]}'), read('{"b":[1,2],"a":1}'))).toBe(true);
  expect(isSame(read("[1,2]"), read("[2,1]"))).toBe(false);
  expect(isSame(read("9007199254740993"), read("9007199254740992"))).toBe(false);
  expect(isSame(read('{"a":null}'), read("{}"))).toBe(false);
  expect(isSame(read("[]"), read("{}"))).toBe(false);
  expect(isSame(read("1"), read('"1"'))).toBe(false);
});
