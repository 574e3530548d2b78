// Requests whose numbers JavaScript would round.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NotConnected, Refused } from "../dist/esm/errors.js";
import { Rest } from "../dist/esm/rest.js";

function answering(t, status, text) {
  const sent = [];
  t.mock.method(globalThis, "fetch", async (url, options) => {
    sent.push([url, options.body, options.headers.get("Content-Type")]);
    return new Response(text, { status, headers: { "Content-Type": "application/json" } });
  });
  return { rest: new Rest("http://a", undefined, 5, 0), sent };
}

test("JSON text goes and comes as it was written", async (t) => {
  const { rest, sent } = answering(t, 200, '{"n":18446744073709551615}');
  const json = '{"setup":{"n":9007199254740993,"f":1.0}}';
  const answer = await rest.ask({ method: "PUT", path: "/x", json, parse: (text) => text });
  assert.deepEqual(sent, [["http://a/api/v1/x", json, "application/json"]]);
  assert.equal(answer, '{"n":18446744073709551615}');
});

test("an error is read as ever, and an answer that cannot be read is none", async (t) => {
  const asText = (text) => text;
  const { rest } = answering(t, 409, '{"code":"conflict"}');
  await assert.rejects(rest.ask({ method: "GET", path: "/x", parse: asText }), (error) => error instanceof Refused && error.code === "conflict");
  t.mock.restoreAll();
  const broken = answering(t, 200, "{}").rest;
  const parse = () => {
    throw new Error("no JSON");
  };
  await assert.rejects(broken.ask({ method: "GET", path: "/x", parse }), NotConnected);
});
