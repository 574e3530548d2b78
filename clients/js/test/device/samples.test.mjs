// A sample that the service would never take throws where it is made; all others pass unchanged.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkSamples, row } from "../../dist/esm/device/samples.js";

const deep = (levels) => (levels === 0 ? 1 : [deep(levels - 1)]);
const circle = {};
circle.again = circle;

for (const [name, values] of Object.entries({
  "no value": {},
  "no object": [1],
  "an empty key": { "": 1 },
  "a long key": { ["é".repeat(129)]: 1 },
  "a control character in a key": { "a\n": 1 },
  "a direction mark in a key": { "a\u202E": 1 },
  "a joiner behind an ASCII character": { "a\u200D": 1 },
  "a tag in a key": { "a\u{E0041}": 1 },
  "a zero-width space in a key": { "a\u200B": 1 },
  "half a character in a key": { "a\uD800": 1 },
  "NaN": { n: NaN },
  "an infinity": { n: [Infinity] },
  "undefined": { n: undefined },
  "undefined within": { n: { a: undefined } },
  "a hole": { n: [, 1] },
  "a function": { n: () => 1 },
  "a big integer type": { n: 1n },
  "an integer of 65 bits": { n: 2 ** 64 },
  "a negative integer of 65 bits": { n: -(2 ** 63) - 2048 },
  "a date": { n: new Date() },
  "a map": { n: new Map() },
  "bytes": { n: new Uint8Array(1) },
  "an object that names its JSON": { n: { toJSON: () => 1 } },
  "half a character": { n: "\uD800" },
  "half a character in a name": { n: { "\uDC00": 1 } },
  "33 levels": { n: deep(33) },
  "a circle": { n: circle },
  "64 KiB and one byte": { n: "x".repeat(65_535) },
})) {
  test(`refuses ${name}`, () => {
    assert.throws(() => checkSamples(values, 1), { code: "invalid_sample" });
  });
}

for (const ts of [-1, NaN, 1e12, "1"]) {
  test(`refuses the time ${ts}`, () => {
    assert.throws(() => checkSamples({ n: 1 }, ts), { code: "invalid_sample" });
  });
}

for (const value of [
  null, true, 0, -1.5, 1e300, 2 ** 53, 18446744073709549568, -(2 ** 63), "", "é🙂", "x".repeat(65_534),
  [], {}, deep(32), { a: [1, { b: null }] }, Object.assign(Object.create(null), { a: 1 }),
]) {
  test(`takes ${JSON.stringify(value).slice(0, 40)}`, () => {
    const [sample] = checkSamples({ "ключ\u200D": value }, 1.5);
    assert.deepEqual([sample.key, JSON.parse(sample.json), sample.ts], ["ключ\u200D", JSON.parse(JSON.stringify(value)), 1.5]);
  });
}

test("a time that is corrected to before 1970 is 0", () => {
  const [one] = checkSamples({ n: 1 }, 5);
  assert.deepEqual([row(one, 2.5), row(one, -9)], [["n", 1, 7.5], ["n", 1, 0]]);
});
