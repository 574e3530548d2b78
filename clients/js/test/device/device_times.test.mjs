// When a device connects, sends and gives up; time passes when the test says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NotConnected, Refused } from "../../dist/esm/errors.js";
import { deviceOf, registered } from "./devices.mjs";
import { fakeTime } from "../helpers.mjs";

const refused = (code, more = {}) => new Refused({ code, message: "no", ...more });
const answered = (code, more = {}) => ({ ok: false, error: { code, ...more } });

/** A token that ends after so many seconds. */
const lasting = (seconds, name) => {
  const claims = { exp: Date.now() / 1000 + seconds, name };
  return `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
};

for (const [event, told, seconds] of [
  ["draining", { reconnect_after_s: 30 }, 30],
  ["kicked", { retry_after_s: 60 }, 60],
  ["draining", {}, 1],
]) {
  test(`${event} ${JSON.stringify(told)} is obeyed to the second`, async (t) => {
    const time = fakeTime(t);
    const { service } = await deviceOf(t, [registered()]);
    await time.settle();
    service.sockets[0].tell(event, told);
    await time.pass(seconds - 0.1);
    assert.deepEqual([service.sockets[0].reason, service.urls.length], [event, 1]);
    await time.pass(0.2);
    assert.equal(service.urls.length, 2);
  });
}

test("a refusal that says when is obeyed, and delays of the network grow until they are 15 s", async (t) => {
  const time = fakeTime(t);
  const busy = refused("rate_limited", { retryable: true, retry_after_s: 40 });
  const { service } = await deviceOf(t, [busy, new NotConnected("no"), ...Array(8).fill(new NotConnected("no"))]);
  await time.pass(39.9);
  assert.equal(service.urls.length, 1);
  await time.pass(0.2);
  for (const seconds of [0.25, 0.5, 1, 2, 4, 8, 15, 15]) {
    const before = service.urls.length;
    await time.pass(seconds - 0.1);
    assert.equal(service.urls.length, before, `before ${seconds} s`);
    await time.pass(0.2);
    assert.equal(service.urls.length, before + 1, `after ${seconds} s`);
  }
});

test("after a success the first delay is short again", async (t) => {
  const time = fakeTime(t);
  const { service } = await deviceOf(t, [...Array(5).fill(new NotConnected("no")), registered()]);
  for (const seconds of [0.25, 0.5, 1, 2, 4]) await time.pass(seconds + 0.1);
  assert.equal(service.sockets.length, 1);
  service.sockets[0].close("the network");
  await time.pass(0.3);
  assert.equal(service.sockets.length, 2);
});

test("a token function is asked once at once, then ever more seldom, and anew after a success", async (t) => {
  const time = fakeTime(t);
  const no = refused("not_authenticated");
  const { service } = await deviceOf(t, [no, no, no, no, registered(), no], { token: () => "t" });
  await time.pass(0);
  assert.equal(service.tokens.length, 2);
  for (const [seconds, count] of [[0.9, 2], [0.2, 3], [1.8, 3], [0.3, 4], [3.9, 4], [0.2, 5]]) {
    await time.pass(seconds);
    assert.equal(service.tokens.length, count);
  }
  service.sockets[0].close("the network");
  await time.pass(0.3);
  await time.pass(0);
  assert.equal(service.tokens.length, 7);
});

test("a token is exchanged before it ends where a function gives another", async (t) => {
  const time = fakeTime(t);
  const given = [lasting(100, "first"), lasting(3600, "second"), lasting(3600, "third")];
  const { service } = await deviceOf(t, [registered()], { token: () => given.shift() });
  await time.pass(89);
  assert.equal(service.tokens.length, 1);
  await time.pass(2);
  assert.equal(service.sockets[0].reason, "the token ends soon");
  await time.pass(0);
  assert.equal(service.tokens.length, 2);
  await time.pass(3500);
  assert.equal(service.tokens.length, 2);
  await time.pass(60);
  await time.pass(0);
  assert.equal(service.tokens.length, 3);
});

test("a token ends by the service's clock; a fixed one is not exchanged", async (t) => {
  const time = fakeTime(t);
  const ahead = registered({ server_time: Date.now() / 1000 + 50 });
  const { service } = await deviceOf(t, [ahead], { token: () => lasting(100, "a") });
  await time.pass(46);
  assert.equal(service.sockets[0].reason, "the token ends soon");
  const { service: other } = await deviceOf(t, [registered()], { token: lasting(100, "b") });
  await time.pass(95);
  assert.equal(other.sockets[0].reason, undefined);
});

test("nothing is sent before the service wants it, and then it is", async (t) => {
  const time = fakeTime(t);
  const { device, of } = await deviceOf(t, [registered()]);
  await time.settle();
  device.send({ n: 1 }, { ts: 5 });
  await time.settle();
  of("update_data")[0].answer(answered("overloaded", { retryable: true, retry_after_s: 7 }));
  await time.pass(3);
  device.send({ n: 2 }, { ts: 6 });
  await time.pass(3.9);
  assert.equal(of("update_data").length, 1);
  await time.pass(0.2);
  assert.deepEqual(of("update_data").map((one) => one.payload.seq), [1, 1]);
});

test("a connection that lost its session stays a second for the reason, and then ends", async (t) => {
  const time = fakeTime(t);
  const { device, service, of } = await deviceOf(t, [registered()]);
  await time.settle();
  device.send({ n: 1 });
  await time.settle();
  of("update_data")[0].answer(answered("stale_generation"));
  await time.pass(0.9);
  assert.equal(service.sockets[0].reason, undefined);
  await time.pass(0.2);
  await time.pass(0);
  assert.equal(service.sockets.length, 2);
  assert.deepEqual(of("update_data")[1].payload.seq, 1);
});

test("a connection without any answer for 30 s ends; each answer gives as long again", async (t) => {
  const time = fakeTime(t);
  const { device, service, of } = await deviceOf(t, [registered()]);
  await time.settle();
  for (const value of [1, 2]) {
    device.send({ n: value });
    await time.settle();
  }
  assert.equal(of("update_data").length, 2);
  await time.pass(29);
  of("update_data")[0].answer({ ok: true });
  await time.pass(29);
  assert.equal(service.sockets[0].reason, undefined);
  await time.pass(1.1);
  assert.match(service.sockets[0].reason, /no answer/);
  await time.pass(0.3);
  of("update_data")[2].answer({ ok: true });
  await time.pass(100);
  assert.equal(service.sockets[1].reason, undefined); // nothing is awaited
});
