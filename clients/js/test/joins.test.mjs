// The sessions that a fleet has joined: over reconnects, after an archive, and no longer than wanted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Refused } from "../dist/esm/errors.js";
import { Joins } from "../dist/esm/fleet/joins.js";
import { until } from "./helpers.mjs";

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
