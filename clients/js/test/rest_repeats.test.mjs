// Requests that are repeated, and those that are not: against a service that answers as it is told.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Conflict, NotConnected, Refused } from "../dist/esm/errors.js";
import { inPath, Rest } from "../dist/esm/rest.js";
import { fakeTime } from "./helpers.mjs";

const JSON_TYPE = { "Content-Type": "application/json" };
const refusal = (status, body, headers = {}) => new Response(JSON.stringify(body), { status, headers: { ...JSON_TYPE, ...headers } });
const ok = () => new Response('{"done":true}', { headers: JSON_TYPE });
const lost = () => {
  throw new TypeError("fetch failed", { cause: new Error("ECONNRESET") });
};
const busy = (more = {}) => () => refusal(503, { code: "overloaded", message: "later", retryable: true, ...more });

/** A client and the requests it made; they are answered by these in turn, the last one for ever. */
function restOf(t, answers, { retries = 3, token } = {}) {
  const asked = [];
  t.mock.method(globalThis, "fetch", async (url, options) => {
    asked.push({ url, options });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return answer();
  });
  return { rest: new Rest("http://a/", token, 5, retries), asked };
}

/** Ask, and let time pass until there is an answer. */
async function ask(t, rest, request = {}) {
  const time = fakeTime(t);
  let result;
  rest.ask({ method: "GET", path: "/x", ...request }).then(
    (value) => (result = { value }),
    (error) => (result = { error }),
  );
  for (let turn = 0; turn < 20 && result === undefined; turn += 1) await time.pass(1);
  t.mock.timers.reset();
  return result ?? {};
}

test("what was lost or may succeed later is asked again, so many times", async (t) => {
  const { rest, asked } = restOf(t, [lost, busy(), lost, ok]);
  assert.deepEqual((await ask(t, rest)).value, { done: true });
  assert.equal(asked.length, 4);
  const { rest: other, asked: again } = restOf(t, [lost], { retries: 2 });
  assert.ok((await ask(t, other)).error instanceof NotConnected);
  assert.equal(again.length, 3);
});

test("what may do harm twice is not asked again where its answer was lost, only where it was refused for now", async (t) => {
  const { rest, asked } = restOf(t, [busy(), lost, ok]);
  assert.ok((await ask(t, rest, { method: "POST", isRepeatable: false })).error instanceof NotConnected);
  assert.equal(asked.length, 2);
});

test("what is refused for good is not asked again", async (t) => {
  const { rest, asked } = restOf(t, [() => refusal(404, { code: "session_not_found", message: "no" })]);
  const { error } = await ask(t, rest, { doneCode: "session_not_found" });
  assert.deepEqual([error instanceof Refused, error.code, asked.length], [true, "session_not_found", 1]);
});

test("after a lost answer, what is gone was done by the lost request", async (t) => {
  const gone = () => refusal(404, { code: "session_not_found", message: "no" });
  const { rest } = restOf(t, [lost, gone]);
  const done = await ask(t, rest, { method: "DELETE", doneCode: "session_not_found" });
  assert.deepEqual(done, { value: undefined });
});

for (const [told, seconds] of [[3, 3], [3600, 10], [undefined, 0.2]]) {
  test(`a request that is to come again in ${told} s comes in ${seconds}`, async (t) => {
    const time = fakeTime(t);
    const { rest, asked } = restOf(t, [busy(told === undefined ? {} : { retry_after_s: told }), ok]);
    const answer = rest.ask({ method: "GET", path: "/x" });
    await time.pass(seconds - 0.05);
    assert.equal(asked.length, 1);
    await time.pass(0.1);
    assert.deepEqual(await answer, { done: true });
  });
}

for (const status of [502, 503, 504]) {
  test(`${status} of what stands in front means that the service is away`, async (t) => {
    const { rest, asked } = restOf(t, [() => new Response("<html>", { status }), ok]);
    assert.deepEqual((await ask(t, rest)).value, { done: true });
    assert.equal(asked.length, 2);
  });
}

test("another error that is no JSON is final", async (t) => {
  const { rest, asked } = restOf(t, [() => new Response("<html>", { status: 500 }), ok]);
  assert.match((await ask(t, rest)).error.message, /500/);
  assert.equal(asked.length, 1);
});

test("an answer that is cut is none", async (t) => {
  const { rest } = restOf(t, [() => new Response('{"done":tr', { headers: JSON_TYPE })], { retries: 0 });
  assert.ok((await ask(t, rest)).error instanceof NotConnected);
});

test("a version that does not fit says the present one, from the body or the ETag", async (t) => {
  for (const [body, headers] of [[{ setup_version: 7 }, {}], [{}, { ETag: '"7"' }]]) {
    const { rest } = restOf(t, [() => refusal(412, { code: "precondition_failed", message: "no", ...body }, headers)]);
    const { error } = await ask(t, rest);
    assert.deepEqual([error instanceof Conflict, error.version], [true, 7]);
  }
});

test("a token goes along and nowhere else; fields without a value stay away", async (t) => {
  const { rest, asked } = restOf(t, [ok], { token: () => "secret" });
  await ask(t, rest, { query: { a: null, b: undefined, c: 0, d: ["x", "y"] }, body: { n: 1 } });
  const [{ url, options }] = asked;
  assert.equal(url, "http://a/api/v1/x?c=0&d=x&d=y");
  assert.equal(options.headers.get("Authorization"), "Bearer secret");
  assert.deepEqual([options.redirect, options.credentials, options.body], ["error", "omit", '{"n":1}']);
});

test("any id stands in a path", () => {
  const ids = [".", "..", "...", "a/b", "\u007F.", "ü"];
  assert.deepEqual(ids.map(inPath), ["%7F.", "%7F..", "...", "a%2Fb", "%7F%7F.", "%C3%BC"]);
});
