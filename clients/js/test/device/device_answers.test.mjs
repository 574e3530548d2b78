// What a device makes of what it is told: its end, its clock, its stream.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Refused } from "../../dist/esm/errors.js";
import { deviceOf, online, registered } from "./devices.mjs";
import { until } from "../helpers.mjs";

test("a register that says that another one owns it ends it, whatever its token", async (t) => {
  const stale = new Refused({ code: "stale_generation", message: "no" });
  const { device, service } = await deviceOf(t, [stale], { token: () => "t" });
  await until(() => device.state === "ended");
  assert.deepEqual([device.why, service.urls.length], ["superseded", 1]);
});

test("a ping is answered with what it said", async (t) => {
  const { device, service } = await deviceOf(t, [registered()]);
  await online(device);
  service.sockets[0].tell("ping", { server_time: 7.5 });
  assert.deepEqual(service.sockets[0].sent, [["pong", { server_time: 7.5 }]]);
});

test("one that has ended stores nothing more, and says so at once", async (t) => {
  const { device, service } = await deviceOf(t, [registered()]);
  await online(device);
  device.send({ n: 1 });
  service.sockets[0].tell("deleted", {});
  assert.equal(await device.flush(), false);
});

test("times are as measured where the program wants it so", async (t) => {
  const hourAgo = registered({ server_time: Date.now() / 1000 - 3600 });
  const { device, of } = await deviceOf(t, [hourAgo], { correctClock: false });
  await online(device);
  device.send({ n: 1 }, { ts: 5000 });
  await until(() => of("update_data").length === 1);
  assert.deepEqual(of("update_data")[0].payload.samples, [["n", 1, 5000]]);
});

test("a buffer older than the service takes another stream on the same connection, and warns", async (t) => {
  const warnings = [];
  const answer = (count) => registered({ last_seq: count === 1 ? 7 : 0 });
  const onWarning = (words) => warnings.push(words);
  const { device, service, of } = await deviceOf(t, [answer], { onWarning });
  await online(device);
  device.send({ n: 1 }, { ts: 5 });
  await until(() => of("update_data").length === 1);
  const streams = service.registers.map((one) => one.stream);
  assert.deepEqual([streams.length, new Set(streams).size, service.sockets.length], [2, 2, 1]);
  assert.equal(of("update_data")[0].payload.seq, 1);
  assert.match(warnings[0], /may be stored twice/);
});
