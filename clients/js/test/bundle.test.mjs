// The file for pages has everything that the package has, and needs nothing of Node.js.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

test("the file for pages exports what the package exports", async () => {
  const names = async (path) => Object.keys(await import(path)).sort();
  assert.deepEqual(await names("../dist/muster-client.js"), await names("../dist/esm/index.js"));
});

test("the file for pages imports nothing", () => {
  const code = readFileSync(new URL("../dist/muster-client.js", import.meta.url), "utf8");
  assert.doesNotMatch(code, /\bfrom\s*"|\bimport\s*["(]|\brequire\(/);
});
