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

test("a gateway that gave up says nothing about what was done", async (t) => {
  const answers = [];
  let asked = 0;
  t.mock.method(globalThis, "fetch", async () => {
    asked += 1;
    const [status, text, type] = answers.shift();
    return new Response(text, { status, headers: { "Content-Type": type ?? "application/json" } });
  });
  const rest = new Rest("http://a", undefined, 5, 3);
  answers.push([504, "<html>", "text/html"]);
  await assert.rejects(rest.ask({ method: "PUT", path: "/x", isRepeatable: false }), NotConnected);
  assert.equal(asked, 1); // twice it could undo what came in between
  answers.push([502, '{"message":"nobody there"}'], [404, '{"code":"session_not_found"}']);
  assert.equal(await rest.ask({ method: "DELETE", path: "/x", doneCode: "session_not_found" }), undefined);
  answers.push([503, '{"code":"draining","retryable":false}']);
  await assert.rejects(rest.ask({ method: "GET", path: "/x" }), Refused);
});
