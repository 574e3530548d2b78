// A fleet over connections that a test holds in its hand: what it shows, tells, and how it resumes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NotConnected, Refused } from "../../dist/esm/errors.js";
import { counts, fleetOf, one, page } from "./fleets.mjs";
import { until } from "../helpers.mjs";

test("pages become one map, and what came meanwhile is applied behind them", async (t) => {
  const first = page([one("a")], { next: "p2", cursor: null });
  let answer;
  const { fleet, service } = fleetOf(t, [first, new Promise((resolve) => (answer = resolve))]);
  await until(() => service.asked.length === 2);
  service.sockets[0].emit("sessions_update", { changed: [one("c")], removed: ["a"], counts, cursor: "c2" });
  answer(page([one("b")]));
  await fleet.waitLive(5);
  assert.deepEqual([...fleet.sessions.keys()].sort(), ["b", "c"]);
  assert.deepEqual(service.asked, [{ scope: "fleet", batch: true }, { page: "p2" }]);
});

test("a snapshot is the same object until something changes, and so is every session in it", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a"), one("b")])]);
  let told = 0;
  fleet.subscribe(() => (told += 1));
  await fleet.waitLive(5);
  await until(() => told > 0);
  const before = fleet.getSnapshot();
  assert.equal(fleet.getSnapshot(), before);
  service.sockets[0].emit("session_data_updates", { updates: [["a", 2, [["n", 1, 1]]]], cursor: "c2" });
  service.sockets[0].emit("sessions_update", { changed: [], removed: [], counts: { ...counts }, cursor: "c2" });
  await until(() => told > 1);
  assert.equal(fleet.getSnapshot(), before);
  service.sockets[0].emit("sessions_update", { changed: [one("b", { rev: 2 })], removed: [], counts, cursor: "c3" });
  await until(() => told > 2);
  const after = fleet.getSnapshot();
  assert.notEqual(after, before);
  assert.equal(after.sessions.get("a"), before.sessions.get("a"));
  assert.equal(before.sessions.get("b").rev, 1);
  assert.equal(after.sessions.get("b").rev, 2);
});

test("a snapshot is a map that does not change, with every session", async (t) => {
  const { fleet, service } = fleetOf(t, [page(Array.from({ length: 2000 }, (_, index) => one(`s${index}`)))]);
  await fleet.waitLive(5);
  const { sessions } = fleet.getSnapshot();
  const expected = new Map(sessions);
  service.sockets[0].emit("sessions_update", { changed: [one("new")], removed: ["s7", "nobody"], counts, cursor: "c2" });
  assert.deepEqual([fleet.sessions.size, fleet.sessions.has("s7"), fleet.sessions.has("new")], [2000, false, true]);
  assert.deepEqual([sessions.size, sessions.has("s7"), sessions.has("new")], [2000, true, false]);
  assert.deepEqual([sessions.get(null), fleet.sessions.has(undefined)], [undefined, false]); // as any Map
  assert.deepEqual([expected.size, [...sessions.values()].length], [2000, 2000]);
  let seen = 0;
  sessions.forEach((summary, id, map) => (seen += summary === map.get(id) && expected.get(id) === summary ? 1 : 0));
  assert.equal(seen, 2000);
});

test("a new snapshot keeps the objects of sessions that did not change", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a"), one("b")]), page([one("a"), one("b", { rev: 5 })])]);
  await fleet.waitLive(5);
  const before = fleet.getSnapshot();
  service.sockets[0].emit("resync", { reason: "feed_trimmed" });
  await until(() => fleet.sessions.get("b").rev === 5);
  assert.equal(fleet.sessions.get("a"), before.sessions.get("a"));
  assert.equal("cursor" in service.asked[1], false);
});

test("changes of one frame are told in one batch", async (t) => {
  const frames = [];
  const { fleet, service } = fleetOf(t, [page([one("a")])], { schedule: (run) => frames.push(run) });
  const batches = [];
  fleet.subscribe((changes) => batches.push(changes.map((change) => change.kind)));
  await fleet.waitLive(5);
  for (let rev = 2; rev < 5; rev += 1) {
    service.sockets[0].emit("session_data_updates", { updates: [["a", rev, []]], cursor: "c2" });
  }
  assert.equal(frames.length, 1);
  frames.shift()();
  assert.deepEqual(batches, [["reset", "state", "samples", "samples", "samples"]]);
});

test("how many there are is known with the first page, so that who watches need not take more", async (t) => {
  const many = { active: 30_000, inactive: 0, archived: 0 };
  const { fleet, service } = fleetOf(t, [page([one("a")], { next: "p2", cursor: null, counts: many })]);
  const seen = [];
  fleet.subscribe(() => seen.push(fleet.getSnapshot()));
  await until(() => seen.length > 0);
  assert.deepEqual([seen[0].counts, seen[0].state, seen[0].sessions.size], [many, "connecting", 0]);
  assert.equal(service.asked.length, 2); // the second page is not there yet
});

test("after a connection that ended it resumes by cursor on the next address", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a")]), page([], { recovered: true, cursor: "c9" })]);
  await fleet.waitLive(5);
  service.sockets[0].emit("sessions_update", { changed: [], removed: [], counts, cursor: "c5" });
  const states = [];
  fleet.subscribe((changes) => states.push(...changes.map((change) => change.state)));
  service.sockets[0].close("the network");
  await until(() => states.includes("live"));
  assert.deepEqual(states, ["offline", "resyncing", "live"]);
  assert.deepEqual(service.urls, ["http://a", "http://b"]);
  assert.equal(service.asked[1].cursor, "c5");
  assert.deepEqual([...fleet.sessions.keys()], ["a"]);
});

test("it is stale from when the service says so until it says otherwise, whatever comes", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a")]), page([], { recovered: true, stale: true, behind_s: 60 })]);
  await fleet.waitLive(5);
  const [socket] = service.sockets;
  const batch = { updates: [["a", 2, []]], cursor: "c2" };
  socket.emit("feed_state", { stale: true, behind_s: 4 });
  const ageS = (Date.now() - fleet.staleSince) / 1000;
  assert.deepEqual([fleet.state, ageS >= 4 && ageS < 5], ["stale", true]);
  socket.emit("session_data_updates", { ...batch, conflated: true });
  assert.equal(fleet.state, "stale");
  await fleet.waitLive(5); // there is a snapshot
  socket.emit("feed_state", { stale: false, behind_s: 0.1 });
  assert.deepEqual([fleet.state, fleet.staleSince], ["conflated", undefined]);
  socket.emit("session_data_updates", batch);
  assert.equal(fleet.state, "live");
  socket.emit("feed_state", { stale: true });
  socket.close("the network");
  await until(() => fleet.state === "offline");
  assert.equal(fleet.staleSince, undefined);
  await until(() => fleet.state === "stale"); // as the answer of the next node says
  assert.ok(Date.now() - fleet.getSnapshot().staleSince >= 60_000);
});

test("an event that is not understood is answered by a new snapshot, not by a map with a hole", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a")]), page([one("b")])]);
  await fleet.waitLive(5);
  service.sockets[0].emit("sessions_update", { changed: 7 });
  await until(() => fleet.sessions.has("b"));
  assert.equal("cursor" in service.asked[1], false);
});

test("unknown events and fields are passed over", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a", { tags: {} })], { more: 1 })]);
  await fleet.waitLive(5);
  service.sockets[0].emit("something_new", { a: 1 });
  assert.equal(fleet.state, "live");
});

test("conflated is a state until a batch is whole again", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a")])]);
  await fleet.waitLive(5);
  service.sockets[0].emit("session_data_updates", { updates: [], cursor: "c2", conflated: true });
  assert.equal(fleet.state, "conflated");
  service.sockets[0].emit("session_data_updates", { updates: [], cursor: "c3" });
  assert.equal(fleet.state, "live");
});

test("a reader that is too slow gets the latest of each key, of each session and each command", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a")])]);
  await fleet.waitLive(5);
  const changes = fleet.changes({ limit: 10 });
  const { emit } = service.sockets[0];
  for (let rev = 1; rev <= 100; rev += 1) {
    emit("session_data_updates", { updates: [["a", rev, [["n", rev, 1], ["m", -rev, 1]]]], cursor: "c2" });
    emit("sessions_update", { changed: [one("a", { rev })], removed: [], counts, cursor: "c2" });
    emit("command_update", { session_id: "a", command_id: rev % 2, status: "queued" });
  }
  await fleet.stop();
  const told = [];
  for await (const change of changes) told.push(change);
  assert.ok(told.length < 25, String(told.length));
  const samples = told.filter((change) => change.kind === "samples");
  assert.equal(samples[0].isConflated, true);
  assert.deepEqual(samples.at(-1).samples.at(-1), ["m", -100, 1]);
  assert.equal(told.filter((change) => change.kind === "changed").at(-1).summary.rev, 100);
  const values = samples.flatMap((change) => change.samples.filter(([key]) => key === "n").map(([, value]) => value));
  assert.deepEqual(values, [...values].sort((x, y) => x - y));
});

test("a reader that keeps up gets all, whatever the limit", async (t) => {
  const { fleet, service } = fleetOf(t, [page([one("a")])]);
  await fleet.waitLive(5);
  const changes = fleet.changes({ limit: 2 });
  for (let rev = 1; rev <= 50; rev += 1) {
    service.sockets[0].emit("session_data_updates", { updates: [["a", rev, [["n", rev, 1]]]], cursor: "c2" });
    const { value } = await changes.next();
    assert.deepEqual([value.rev, value.isConflated], [rev, false]);
  }
});

test("samples, values, interval and promptness are asked for with the scope, and again with the cursor", async (t) => {
  const options = { scope: { project_id: "p" }, samples: "latest", values: ["n"], intervalMs: 100, prompt: true };
  const { fleet, service } = fleetOf(t, [page([]), page([], { recovered: true })], options);
  await fleet.waitLive(5);
  service.sockets[0].close("the network");
  await until(() => service.asked.length === 2);
  const wanted = { scope: { project_id: "p" }, batch: true, samples: "latest", values: ["n"], interval_ms: 100, prompt: true };
  assert.deepEqual(service.asked, [wanted, { ...wanted, cursor: "c1" }]);
});

test("a refusal for good ends the iteration with its error", async (t) => {
  const { fleet } = fleetOf(t, [new Refused({ code: "not_allowed", message: "no" })]);
  const changes = fleet.changes();
  await assert.rejects(fleet.waitLive(5), { code: "not_allowed" });
  assert.equal((await changes.next()).value.state, "offline");
  await assert.rejects(changes.next(), { code: "not_allowed" });
});

test("stopping ends iteration and waiting", async (t) => {
  const { fleet } = fleetOf(t, [new NotConnected("away")]);
  const waiting = assert.rejects(fleet.waitLive(), { code: "not_connected" });
  const changes = fleet.changes();
  await fleet.stop();
  await waiting;
  for (let turn = 0; turn < 3; turn += 1) if ((await changes.next()).done) return;
  assert.fail("the iteration goes on");
});

test("a lost connection is continued with the cursor on another node that the service named", async (t) => {
  const nodes = ["http://c", "http://b/", 7, "not a url"];
  const { fleet, service } = fleetOf(t, [page([one("a")], { nodes }), page([], { recovered: true, nodes: ["http://c"] }),
    page([], { recovered: true, nodes: [] }), page([], { recovered: true })]);
  await fleet.waitLive(5);
  service.sockets[0].close("lost");
  await until(() => service.asked.length === 2);
  service.sockets[1].close("lost");
  await until(() => service.asked.length === 3);
  service.sockets[2].close("lost");
  await until(() => service.asked.length === 4);
  // c was named, and is no more once it is left; a and b were given
  assert.deepEqual(service.urls, ["http://a", "http://b", "http://c", "http://a"]);
  assert.deepEqual(service.asked.slice(1).map(({ cursor }) => cursor), ["c1", "c1", "c1"]);
});

test("a page over TLS is not sent to an address without", async (t) => {
  const { fleet, service } = fleetOf(
    t, [page([], { nodes: ["http://b"] }), page([], { recovered: true })], {}, ["https://a"],
  );
  await fleet.waitLive(5);
  service.sockets[0].close("lost");
  await until(() => service.asked.length === 2);
  assert.deepEqual(service.urls, ["https://a", "https://a"]);
});

test("a clock that is ahead does not make it connect all the time: the service says when its token ends", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let now = 0;
  t.mock.method(performance, "now", () => now);
  const token = `head.${btoa(JSON.stringify({ exp: Date.now() / 1000 - 3000 }))}.signature`;
  const { fleet, service } = fleetOf(t, [page([one("a")])], { token: () => token });
  await fleet.waitLive(Infinity);
  now += 60_000;
  t.mock.timers.tick(60_000);
  assert.deepEqual([service.sockets.length, service.sockets[0].reason], [1, undefined]);
});
