// @vitest-environment node
import { describe, expect, it, test } from "vitest";
import { commandJson } from "@/client/commands";
import { beginningOfJson, exactJson, parseExact } from "@/client/exact";
import { inLine } from "@/client/visible";
import { shortValue } from "@/pages/fleet/values";
import { numberOf } from "@/pages/session/charts/series";
import { toNdjson } from "@/pages/tail/rows";

const MOST = 18446744073709551615n;
const LEAST = -9223372036854775808n;

describe("a value of a device", () => {
  it.each([
    ["9007199254740993", 9007199254740993n],
    ["18446744073709551615", MOST],
    ["[-9223372036854775808]", [LEAST]],
    ['{"a":{"b":[1,9007199254740993]},"__proto__":null}', { a: { b: [1, 9007199254740993n] }, ["__proto__"]: null }],
    ["9007199254740991", 9007199254740991],
    ["12345678901234567.5", Number("12345678901234567.5")],
    ["1234567890123456e3", 1.234567890123456e18],
    ['"9007199254740993"', "9007199254740993"],
    ['["x: 9007199254740993"]', ["x: 9007199254740993"]],
  ])("is read as it was sent: %s", (text, value) => {
    expect(parseExact(text)).toEqual(value);
  });

  it.each([
    '{"a":9007199254740993,"b":[1.5,"x",null,true,{}]}', "-9223372036854775808", '{"__proto__":18446744073709551615}',
    '[1e+21,9007199254740993]',
  ])("goes back as it came: %s", (text) => {
    expect(exactJson(parseExact(text))).toBe(text);
  });

  it("is laid out as JSON.stringify does", () => {
    const [before, after] = ['{\n  "a": [\n    ', ",\n    {}\n  ]\n}"];
    expect(exactJson({ a: [MOST, {}], b: undefined }, 2)).toBe(`${before}18446744073709551615${after}`);
    expect(exactJson({ a: [1] }, 2)).toBe('{\n  "a": [\n    1\n  ]\n}');
    expect([exactJson(undefined), exactJson(null)]).toEqual(["", "null"]);
  });

  it("keeps its members where one comes twice", () => {
    expect(parseExact('{"a":1,"a":9007199254740993}')).toEqual({ a: 9007199254740993n });
  });

  it.each(["", "{", "[9007199254740993", '{"a":9007199254740993}x'])("is none: %s", (text) => {
    expect(() => parseExact(text)).toThrow(SyntaxError);
  });

  it("is shown with every digit, and drawn as near as a number is", () => {
    expect([inLine(MOST), inLine({ n: MOST }), shortValue(MOST)]).toEqual([
      "18446744073709551615", '{"n":18446744073709551615}', "18446744073709551615",
    ]);
    expect(numberOf(MOST)).toBe(2 ** 64);
    const about = { value: MOST };
    const row = { number: 1, at: 1, kind: "sample", sessionId: "a", text: "", size: 0, about } as const;
    expect(toNdjson([row])).toContain('"value":18446744073709551615}');
  });
});

test.each([
  {}, [], [[]], { a: [1, { b: null }], "": "x" }, ["a", MOST, -0.5, true], { a: undefined, ["__proto__"]: { é: "\n" } },
])("a value in one line is what it is as a whole, or its beginning: %j", (value) => {
  const whole = exactJson(value);
  expect(beginningOfJson(value, Infinity)).toBe(whole);
  for (let most = 0; most < whole.length; most += 1) {
    expect(beginningOfJson(value, most).slice(0, most)).toBe(whole.slice(0, most));
    expect(beginningOfJson(value, most).length).toBeGreaterThan(most);
  }
});

test("of a large value no more is looked at than is shown", () => {
  const large = { first: "x".repeat(300), get second() { throw new Error("was looked at"); } };
  expect(inLine([large, large])).toBe(`[{"first":"${"x".repeat(188)}…`);
  expect(inLine({ text: "😀".repeat(9_000) })).toHaveLength(200);
});

test("parameters of a command keep the digits that were written", () => {
  const wanted = { command: "set", params: ' {"n": 18446744073709551615} ', ttlS: 5 };
  expect(commandJson(wanted)).toBe('{"command":"set","params":{"n": 18446744073709551615},"ttl_s":5}');
  expect(commandJson({ ...wanted, params: " ", ttlS: undefined }, { session_ids: ["a"] })).toBe(
    '{"command":"set","params":null,"session_ids":["a"]}',
  );
});
