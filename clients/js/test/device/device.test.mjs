// A device over connections that a test holds in its hand: when it connects, what it sends, and what ends it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Refused } from "../../dist/esm/errors.js";
import { deviceOf, online, registered } from "./devices.mjs";
import { until } from "../helpers.mjs";

test("an update whose answer was lost is sent again with its number, to the next address", async (t) => {
  const { device, service, of } = await deviceOf(t, [registered()]);
  await online(device);
  device.send({ n: 1 }, { ts: 5 });
  device.send({ n: 2 }, { ts: 6 });
  await until(() => of("update_data").length === 1);
  service.sockets[0].close("the network");
  await until(() => of("update_data").length === 2);
  const [first, second] = of("update_data").map((one) => one.payload);
  assert.deepEqual(first, { seq: 1, samples: [["n", 1, 5], ["n", 2, 6]] });
  assert.deepEqual(second, first);
  assert.deepEqual(service.urls, ["http://a", "http://b"]);
  assert.equal(await device.flush(0.01), false);
  of("update_data")[1].answer({ ok: true, rev: 1 });
  assert.equal(await device.flush(5), true);
});

test("times are corrected by a clock that is an hour ahead, and not by one that differs by less than a second", async (t) => {
  const { device, of } = await deviceOf(t, [registered({ server_time: Date.now() / 1000 - 3600 })]);
  await online(device);
  device.send({ n: 1 });
  await until(() => of("update_data").length === 1);
  const [[, , ts]] = of("update_data")[0].payload.samples;
  assert.ok(Math.abs(ts - (Date.now() / 1000 - 3600)) < 5, String(ts));
});

for (const event of ["superseded", "deleted"]) {
  test(`${event} ends a device for good`, async (t) => {
    const { device, service } = await deviceOf(t, [registered()], { token: () => "t" });
    await online(device);
    const flushing = (device.send({ n: 1 }), device.flush());
    service.sockets[0].tell(event, { session_id: "kiosk-7" });
    assert.equal(await flushing, false);
    assert.deepEqual([device.state, device.why, service.urls.length], ["ended", event, 1]);
  });
}

test("a fixed token that is refused ends it", async (t) => {
  const refusal = new Refused({ code: "not_authenticated", message: "no" });
  const { device, service } = await deviceOf(t, [refusal], { token: "old" });
  await until(() => device.state === "ended");
  assert.match(device.why, /not_authenticated/);
  assert.equal(service.urls.length, 1);
});

test("a token function is asked again at once when its token is refused", async (t) => {
  const refusal = new Refused({ code: "not_authenticated", message: "no" });
  let calls = 0;
  const { device, service } = await deviceOf(t, [refusal, registered()], { token: () => `t${(calls += 1)}` });
  await online(device);
  assert.deepEqual(service.tokens, ["t1", "t2"]);
});

test("a token that ends during a connection is exchanged at once where a function gives another", async (t) => {
  const { device, service } = await deviceOf(t, [registered()], { token: () => "t" });
  await online(device);
  service.sockets[0].tell("service_error", { code: "not_authenticated", message: "it has ended" });
  await until(() => service.urls.length === 2);
  assert.notEqual(device.state, "ended");
});

test("a token is renewed by the clock of the service, however wrong the own one is", async (t) => {
  const now = Date.now() / 1000 + 3600; // there
  const token = (leftS) => `head.${btoa(JSON.stringify({ exp: now + leftS }))}.signature`;
  const given = [token(1.3), token(600)];
  const options = { correctClock: false, token: () => given.shift() };
  const { service } = await deviceOf(t, [registered({ server_time: now })], options);
  await until(() => service.sockets.length === 2);
  assert.match(service.sockets[0].reason, /ends soon/);
});

test("draining and kicked are obeyed: the next connection comes when they say", async (t) => {
  for (const [event, field] of [["draining", "reconnect_after_s"], ["kicked", "retry_after_s"]]) {
    await t.test(event, async (inner) => {
      const { device, service } = await deviceOf(inner, [registered()]);
      await online(device);
      const before = performance.now();
      service.sockets[0].tell(event, { [field]: 0.3 });
      await until(() => service.urls.length === 2);
      assert.ok(performance.now() - before >= 299);
    });
  }
});

test("retry_after_s of a refusal is obeyed", async (t) => {
  const busy = new Refused({ code: "rate_limited", message: "later", retryable: true, retry_after_s: 0.3 });
  const before = performance.now();
  const { device } = await deviceOf(t, [busy, registered()]);
  await online(device);
  assert.ok(performance.now() - before >= 299);
});

test("who is told that it is offline may stop it", { timeout: 10_000 }, async (t) => {
  let device;
  const busy = new Refused({ code: "draining", message: "later", retryable: true, retry_after_s: 3600 });
  let stopping;
  const onState = (state) => {
    if (state === "offline") stopping = device.stop();
  };
  ({ device } = await deviceOf(t, [busy], { onState }));
  await until(() => stopping !== undefined);
  await stopping;
  assert.equal(device.state, "ended");
});

test("one that is stopped as soon as a register settles the rest stays ended", { timeout: 10_000 }, async (t) => {
  const states = [];
  const onState = (state) => states.push(state);
  const { device, service, of } = await deviceOf(t, [registered(), registered({ last_seq: 1 })], { onState });
  await online(device);
  device.send({ n: 1 });
  await until(() => of("update_data").length === 1);
  const stopped = device.flush(5).then(() => device.stop());
  service.sockets[0].close("the network");
  await stopped;
  assert.equal(device.state, "ended");
  assert.equal(states.at(-1), "ended");
  assert.equal(service.urls.length, 2);
});

test("a command that comes twice runs once, and its outcome is told until it is acked", async (t) => {
  const { device, service, of } = await deviceOf(t, [registered()]);
  let runs = 0;
  device.command("count", () => (runs += 1));
  await online(device);
  const acks = [];
  const command = { command_id: "c1", command: "count", params: null, attempt: 1 };
  service.sockets[0].tell("command", command, (answer) => acks.push(answer));
  await until(() => of("command_result").length === 1);
  service.sockets[0].close("the network");
  await until(() => of("command_result").length === 2);
  service.sockets[1].tell("command", { ...command, attempt: 2 }, (answer) => acks.push(answer));
  await until(() => acks.length === 2);
  assert.deepEqual([runs, acks], [1, [undefined, { ok: true, result: 1 }]]);
  assert.deepEqual(of("command_result")[1].payload, { command_id: "c1", ok: true, result: 1 });
  of("command_result")[1].answer({ ok: true });
  await new Promise(setImmediate);
  service.sockets[1].close("the network");
  await until(() => service.sockets.length === 3 && device.state === "online");
  assert.equal(of("command_result").length, 2);
});

test("commands run in order, one after the other; what throws is a failure", async (t) => {
  const { device, service, of } = await deviceOf(t, [registered()]);
  const order = [];
  let release;
  device.command("slow", () => new Promise((resolve) => (order.push("slow"), (release = resolve))));
  device.command("fails", () => {
    order.push("fails");
    throw new RangeError("too far");
  });
  await online(device);
  for (const [index, name] of ["slow", "fails", "unknown"].entries()) {
    service.sockets[0].tell("command", { command_id: `c${index}`, command: name, params: null }, () => {});
  }
  await until(() => release !== undefined);
  assert.deepEqual(order, ["slow"]);
  release({ at: 1 });
  await until(() => of("command_result").length === 2);
  const results = of("command_result").map((one) => one.payload);
  assert.deepEqual(results[0], { command_id: "c0", ok: true, result: { at: 1 } });
  assert.deepEqual(results[1].error, { code: "RangeError", message: "too far" });
});

test("the newest setup is applied and reported; one that fails is not reported", async (t) => {
  const { device, service, of } = await deviceOf(t, [registered({ setup: { a: 1 }, setup_version: 3 })]);
  const applied = [];
  device.onSetup((setup, version) => {
    applied.push(version);
    if (setup.bad) throw new Error("no");
  });
  t.mock.method(console, "error", () => {});
  await online(device);
  service.sockets[0].tell("setup", { setup: { bad: true }, setup_version: 5 });
  service.sockets[0].tell("setup", { setup: { late: true }, setup_version: 4 });
  await until(() => applied.length === 2);
  await new Promise(setImmediate);
  assert.deepEqual(applied, [3, 5]);
  assert.deepEqual(of("update_setup").map((one) => one.payload), [{ reported_version: 3 }]);
});

test("what was sent after it was stopped is refused, not lost silently", async (t) => {
  const { device } = await deviceOf(t, [registered()]);
  await device.stop();
  assert.throws(() => device.send({ n: 1 }), { code: "bad_buffer" });
});
