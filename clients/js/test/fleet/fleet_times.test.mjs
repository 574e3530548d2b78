// When a fleet connects again and with which token; what a new snapshot takes away; time that the test lets pass.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ChangeQueue } from "../../dist/esm/fleet/changes.js";
import { NotConnected, Refused } from "../../dist/esm/errors.js";
import { fakeTime } from "../helpers.mjs";
import { counts, fleetOf, one, page } from "./fleets.mjs";

const refused = (code, more = {}) => new Refused({ code, message: "no", ...more });

test("a node that leaves says when to come again, also while the snapshot is read", async (t) => {
  const time = fakeTime(t);
  const { service } = fleetOf(t, [page([one("a")]), undefined, page([])]);
  await time.settle();
  for (const number of [1, 2]) {
    service.sockets[number - 1].emit("draining", { reconnect_after_s: 30 });
    await time.pass(29.9);
    assert.deepEqual([service.sockets[number - 1].reason, service.urls.length], ["draining", number]);
    await time.pass(0.2);
    assert.equal(service.urls.length, number + 1);
  }
});

test("a refusal that says when is obeyed", async (t) => {
  const time = fakeTime(t);
  const { service } = fleetOf(t, [refused("overloaded", { retryable: true, retry_after_s: 40 }), page([])]);
  await time.pass(39.9);
  assert.equal(service.urls.length, 1);
  await time.pass(0.2);
  assert.equal(service.urls.length, 2);
});

test("a token that is refused ends a fleet, unless a function may give another", async (t) => {
  const time = fakeTime(t);
  const { fleet, service } = fleetOf(t, [refused("not_authenticated"), page([])], { token: "old" });
  await assert.rejects(fleet.waitLive(), { code: "not_authenticated" });
  await time.pass(60);
  assert.equal(service.urls.length, 1);
});

test("a function is asked again where its token is refused", async (t) => {
  const time = fakeTime(t);
  const given = ["old", "new"];
  const { fleet, service } = fleetOf(t, [refused("not_authenticated"), page([one("a")])], { token: () => given.shift() });
  await time.pass(0.3);
  assert.deepEqual([fleet.state, service.tokens], ["live", ["old", "new"]]);
});

test("each connection asks for a token, and the fleet goes on with its cursor", async (t) => {
  const time = fakeTime(t);
  const given = ["old", "new"];
  const { service } = fleetOf(t, [page([one("a")]), page([], { recovered: true })], { token: () => given.shift() });
  await time.settle();
  service.sockets[0].close("the token has ended");
  await time.pass(0.3);
  assert.deepEqual([service.tokens, service.asked[1].cursor], [["old", "new"], "c1"]);
});

test("a new snapshot is all there is", async (t) => {
  const time = fakeTime(t);
  const { fleet, service } = fleetOf(t, [page([one("a"), one("b")]), page([one("b"), one("c")])]);
  await time.settle();
  service.sockets[0].emit("resync", { reason: "feed_trimmed" });
  await time.settle();
  assert.deepEqual([...fleet.sessions.keys()].sort(), ["b", "c"]);
});

test("what was not there is not told as removed", async (t) => {
  const time = fakeTime(t);
  const { fleet, service } = fleetOf(t, [page([one("a")])]);
  await time.settle();
  const told = [];
  fleet.subscribe((changes) => told.push(...changes.map((change) => `${change.kind} ${change.sessionId}`)));
  service.sockets[0].emit("sessions_update", { changed: [], removed: ["b", "a"], counts, cursor: "c2" });
  await time.settle();
  assert.deepEqual(told, ["removed a"]);
});

// -- changes that wait for a reader

const samples = (sessionId, rows, more = {}) => ({ kind: "samples", sessionId, rev: 1, samples: rows, isConflated: false, ...more });
const command = (sessionId, id, status) => ({ kind: "command", sessionId, command: { command_id: id, status } });

/** What a reader gets that reads once all of this has come; or the first one as soon as the second has. */
async function read(most, changes, { isEarly = false } = {}) {
  const queue = new ChangeQueue(most, () => {});
  changes.slice(0, 2).forEach((change) => queue.push(change));
  if (isEarly) await queue.next();
  changes.slice(2).forEach((change) => queue.push(change));
  queue.end();
  const found = [];
  for (let next = await queue.next(); !next.done; next = await queue.next()) found.push(next.value);
  return found;
}

test("beyond the bound the latest of each key is left, and says so; samples count one by one", async () => {
  const whole = [samples("a", [["t", 1, 1], ["u", 2, 1]]), samples("a", [["t", 3, 2]])];
  assert.equal((await read(3, whole)).length, 2);
  const [left, ...rest] = await read(2, whole);
  assert.deepEqual([left.samples, left.isConflated, rest], [[["u", 2, 1], ["t", 3, 2]], true, []]);
  const [same] = await read(1, [samples("a", [["t", 1, 1]]), samples("a", [["u", 2, 2]])]);
  assert.deepEqual([same.samples.length, same.isConflated], [2, false]);
});

test("what is left stays in its order, each command by itself, and what was read does not come again", async () => {
  const changes = [
    { kind: "changed", sessionId: "z", summary: {} }, { kind: "changed", sessionId: "a", summary: {} },
    command("a", "c1", "sent"), command("a", "c2", "sent"), command("a", "c1", "delivered"),
    { kind: "removed", sessionId: "a" },
  ];
  const shown = (found) => found.map((one) => `${one.kind} ${one.command?.command_id ?? one.sessionId}`);
  assert.deepEqual(shown(await read(4, changes, { isEarly: true })), ["command c2", "command c1", "removed a"]);
});

test("a reader that waits is told of the end, and why", async () => {
  const queue = new ChangeQueue(10, () => {});
  const waiting = assert.rejects(queue.next(), NotConnected);
  queue.end(new NotConnected("over"));
  await waiting;
  await assert.rejects(queue.next(), NotConnected);
});
