// The sessions that a fleet has joined: over reconnects, after an archive, and no longer than wanted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Refused } from "../../dist/esm/errors.js";
import { Joins } from "../../dist/esm/fleet/joins.js";
import { until } from "../helpers.mjs";

/** A connection that remembers what it was asked, and refuses as it is told. */
function connection(refusal) {
  const asked = [];
  return {
    asked,
    async call(event, { session_id }) {
      asked.push(`${event} ${session_id}`);
      if (refusal.code !== undefined) throw new Refused(refusal);
      return { ok: true };
    },
  };
}

test("each connection joins anew, and none joins what was left", async () => {
  const joins = new Joins();
  const [first, second, third] = [connection({}), connection({}), connection({})];
  joins.add("a");
  joins.connected(first);
  joins.connected(first); // a new snapshot over the same connection
  joins.add("a");
  joins.add("b");
  joins.connected(undefined);
  joins.connected(second);
  await joins.delete("a");
  await joins.delete("a");
  joins.connected(undefined);
  joins.connected(third);
  assert.deepEqual(first.asked, ["join_session a", "join_session b"]);
  assert.deepEqual(second.asked, ["join_session a", "join_session b", "leave_session a"]);
  assert.deepEqual(third.asked, ["join_session b"]);
});

test("what could not be joined is joined when it changes, once", async () => {
  const joins = new Joins();
  const refusal = { code: "session_not_found" };
  const one = connection(refusal);
  joins.connected(one);
  joins.add("archived");
  await until(() => one.asked.length === 1);
  delete refusal.code;
  joins.changed("archived");
  joins.changed("archived");
  joins.changed("another");
  assert.equal(one.asked.length, 2);
  joins.removed("archived");
  joins.changed("archived"); // it was made again
  assert.equal(one.asked.length, 3);
});

test("leaving does not fail where the connection is over", async () => {
  const joins = new Joins();
  const refusal = {};
  joins.connected(connection(refusal));
  joins.add("a");
  refusal.code = "not_connected";
  await joins.delete("a");
});

/** A connection whose answers the test gives. */
function pending() {
  const asked = [];
  const call = (event, { session_id }) =>
    new Promise((answer, fail) => asked.push({ what: `${event} ${session_id}`, answer, fail: () => fail(new Refused({ code: "x" })) }));
  return { asked, call };
}

const settle = () => new Promise(setImmediate);

test("what a former connection could not join says nothing of this one", async () => {
  const joins = new Joins();
  const [first, second] = [pending(), pending()];
  joins.connected(first);
  joins.add("a");
  joins.connected(second);
  second.asked[0].answer({ ok: true });
  first.asked[0].fail();
  await settle();
  joins.changed("a");
  assert.deepEqual(second.asked.map((one) => one.what), ["join_session a"]);
});

test("what was left while it could not be joined stays left", async () => {
  const joins = new Joins();
  const one = pending();
  joins.connected(one);
  joins.add("a");
  void joins.delete("a");
  one.asked[0].fail();
  await settle();
  joins.changed("a");
  joins.connected(undefined);
  const next = pending();
  joins.connected(next);
  assert.deepEqual(next.asked, []);
});
