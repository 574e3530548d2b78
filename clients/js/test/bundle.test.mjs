// The package is the same as ESM, as CommonJS and as one file for pages, which needs nothing of Node.js.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

test("the file for pages exports what the package exports", async () => {
  const names = async (path) => Object.keys(await import(path)).sort();
  assert.deepEqual(await names("../dist/muster-client.js"), await names("../dist/esm/index.js"));
});

test("the file for pages imports nothing", () => {
  const code = readFileSync(new URL("../dist/muster-client.js", import.meta.url), "utf8");
  assert.doesNotMatch(code, /\bfrom\s*"|\bimport\s*["(]|\brequire\(/);
});

test("CommonJS has the same, with the storage of Node.js", () => {
  const names = Object.keys(createRequire(import.meta.url)("../dist/cjs/index.js")).sort();
  assert.ok(names.includes("Device") && names.includes("Fleet") && names.includes("Operator"));
});
