// What an operator asks: lists in a query are given once for each.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Operator } from "../dist/esm/operator.js";

test("data keys of a list and of a series are given each by itself", async (t) => {
  const asked = [];
  t.mock.method(globalThis, "fetch", async (url) => {
    asked.push(String(url));
    return new Response("{}", { headers: { "Content-Type": "application/json" } });
  });
  const operator = new Operator("http://a");
  await operator.series("d/1", ["t", "a b"], { step: 60, agg: "max", since: 5 });
  await operator.page({ values: ["t", "door"], limit: 2 });
  await operator.disconnect("d1", { retryAfterS: 3 });
  assert.deepEqual(asked, [
    "http://a/api/v1/sessions/d%2F1/data?keys=t&keys=a+b&since=5&step=60&agg=max",
    "http://a/api/v1/sessions?limit=2&values=t&values=door",
    "http://a/api/v1/sessions/d1/disconnect",
  ]);
});

test("a request that waits for a job has more time than the service takes to say that it continues", async (t) => {
  const times = [];
  const { timeout } = AbortSignal;
  t.mock.method(AbortSignal, "timeout", (ms) => {
    times.push(ms);
    return timeout.call(AbortSignal, ms);
  });
  t.mock.method(globalThis, "fetch", async () => {
    return new Response('{"job_id":"j"}', { status: 202, headers: { "Content-Type": "application/json" } });
  });
  const operator = new Operator("http://a", { timeoutS: 7 });
  assert.deepEqual(await operator.archive("d1"), { job_id: "j" });
  await operator.restore("d1");
  assert.deepEqual(times, [37_000, 37_000]);
});
