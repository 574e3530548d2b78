// Commands and setups of a device: each command once and in order, its outcome told until the service has it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Buffer } from "../../dist/esm/device/buffer.js";
import { Commands } from "../../dist/esm/device/commands.js";
import { Setups } from "../../dist/esm/device/setups.js";
import { NotConnected } from "../../dist/esm/errors.js";
import { fakeTime } from "../helpers.mjs";

const settle = async () => {
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
};

/** A service that keeps what is asked, and answers when the test says so. */
function service() {
  const asked = [];
  const ask = (event, payload) =>
    new Promise((answer, fail) => asked.push({ event, payload, answer, lose: () => fail(new NotConnected("lost")) }));
  return { asked, ask };
}

/** Commands over a buffer, with handlers that note what ran. */
function commandsOver(buffer, { repeatable = false } = {}) {
  const { asked, ask } = service();
  const commands = new Commands(buffer, ask);
  const ran = [];
  const note = (params) => {
    ran.push(params);
    return params;
  };
  commands.add("note", note, repeatable);
  return { commands, asked, ran };
}

const command = (id, params = id, name = "note") => ({ command_id: id, command: name, params });

/** A buffer as it was when the program ended while these commands were taken, and these had begun. */
async function interrupted(taken, started = []) {
  const buffer = new Buffer();
  for (const id of taken) await buffer.taken(id, "note", id);
  for (const id of started) await buffer.started(id);
  return buffer;
}

test("a command that comes again while it waits or runs does not run twice", async () => {
  const { commands, ran } = commandsOver(new Buffer());
  let release;
  let calls = 0;
  commands.add("slow", () => new Promise((resolve) => ((calls += 1), (release = resolve))), false);
  commands.take(command("a", null, "slow"), () => {});
  commands.take(command("b"), () => {});
  await settle();
  for (const id of ["a", "b"]) commands.take(command(id, id, id === "a" ? "slow" : "note"), () => {});
  await settle();
  assert.deepEqual([calls, ran], [1, []]); // one after the other
  release();
  await settle();
  assert.deepEqual([calls, ran], [1, ["b"]]);
});

test("what was taken before a restart runs; what had begun is reported as interrupted, unless it is repeatable", async () => {
  const first = commandsOver(await interrupted(["a", "b"], ["a"]));
  await first.commands.resume();
  await settle();
  assert.deepEqual(first.ran, ["b"]);
  assert.deepEqual(first.asked.map(({ payload }) => [payload.command_id, payload.error?.code]), [
    ["a", "interrupted"], ["b", undefined],
  ]);
  const second = commandsOver(await interrupted(["a", "b"], ["a"]), { repeatable: true });
  await second.commands.resume();
  await settle();
  assert.deepEqual(second.ran, ["a", "b"]);
});

test("a command is noted as begun before its handler is called", async () => {
  const buffer = new Buffer();
  const { commands } = commandsOver(buffer);
  let atCall;
  commands.add("look", () => void (atCall = { ...buffer.command("a") }), false);
  commands.take(command("a", null, "look"), () => {});
  await settle();
  assert.equal(atCall.isStarted, true);
});

test("a command that cannot be written down is neither acked nor run, and may come again", async (t) => {
  t.mock.method(console, "error", () => {});
  const buffer = new Buffer();
  const { commands, ran } = commandsOver(buffer);
  const taken = t.mock.method(buffer, "taken", () => Promise.reject(new Error("disk full")));
  const acks = [];
  commands.take(command("a"), (answer) => acks.push(answer));
  await settle();
  assert.deepEqual([ran, acks], [[], []]);
  taken.mock.restore();
  commands.take(command("a"), (answer) => acks.push(answer));
  await settle();
  assert.deepEqual([ran, acks], [["a"], [undefined]]);
});

test("an unknown command fails at once, by its ack or by itself", async () => {
  const { commands, asked } = commandsOver(new Buffer());
  const acks = [];
  commands.take(command("a", null, "none"), (answer) => acks.push(answer));
  commands.take(command("b", null, "none"), undefined);
  await settle();
  assert.deepEqual([acks[0].ok, acks[0].error.code], [false, "unknown_command"]);
  assert.deepEqual(asked.map(({ payload }) => [payload.command_id, payload.error.code]), [["b", "unknown_command"]]);
});

test("an outcome is told again when the service says so, at the earliest then", async (t) => {
  const time = fakeTime(t);
  const buffer = new Buffer();
  const { commands, asked } = commandsOver(buffer);
  commands.take(command("a"), () => {});
  await time.settle();
  asked[0].answer({ ok: false, error: { code: "store_unavailable", retryable: true, retry_after_s: 5 } });
  await time.pass(4.9);
  assert.equal(asked.length, 1);
  await time.pass(0.2);
  assert.equal(asked.length, 2);
  asked[1].answer({ ok: true });
  await time.settle();
  assert.deepEqual(buffer.unreported(), []);
});

for (const code of ["not_registered", "stale_generation", "internal"]) {
  test(`an outcome that was answered ${code} is told on the next connection`, async () => {
    const { commands, asked } = commandsOver(new Buffer());
    commands.take(command("a"), () => {});
    await settle();
    asked[0].answer({ ok: false, error: { code } });
    await settle();
    commands.connected();
    await settle();
    assert.deepEqual(asked[1].payload, asked[0].payload);
    asked[1].answer({ ok: false, error: { code: "command_not_found" } }); // for good
    await settle();
    commands.connected();
    await settle();
    assert.equal(asked.length, 2);
  });
}

test("a result that is too large ends the command, and says so", async () => {
  const { commands, asked } = commandsOver(new Buffer());
  commands.take(command("a"), () => {});
  await settle();
  asked[0].answer({ ok: false, error: { code: "too_large" } });
  await settle();
  assert.deepEqual([asked[1].payload.ok, asked[1].payload.error.code], [false, "too_large"]);
  asked[1].answer({ ok: true });
  await settle();
  commands.connected();
  assert.equal(asked.length, 2);
});

test("a stopped device begins no command; the next run of the program does", async () => {
  const buffer = new Buffer();
  const { commands, ran } = commandsOver(buffer);
  commands.take(command("a"), () => {});
  commands.stop();
  await settle();
  assert.deepEqual([ran, buffer.unreported().map((one) => one.isStarted)], [[], [false]]);
});

/** Setups with a handler that waits for the test. */
function setupsOf({ fails = () => false } = {}) {
  const { asked, ask } = service();
  const setups = new Setups("kiosk-7", ask);
  const begun = [];
  setups.handler = (setup, version) =>
    new Promise((resolve, reject) => begun.push({ setup, version, end: () => (fails(version) ? reject(new Error("no")) : resolve()) }));
  return { setups, asked, begun };
}

test("setups are applied one at a time, the newest next", async () => {
  const { setups, begun, asked } = setupsOf();
  setups.registered("one", 1);
  setups.changed("two", 2);
  setups.changed("three", 3);
  assert.deepEqual(begun.map((one) => one.version), [1]);
  begun[0].end();
  await settle();
  assert.deepEqual(begun.map((one) => one.version), [1, 3]);
  begun[1].end();
  await settle();
  assert.deepEqual(asked.map((one) => one.payload.reported_version), [1, 3]);
});

test("what a register says counts, whatever was known; what runs already is reported and not applied again", async () => {
  const { setups, begun, asked } = setupsOf();
  setups.registered("seven", 7);
  begun[0].end();
  await settle();
  setups.registered("seven", 7);
  await settle();
  assert.deepEqual([begun.length, asked.map((one) => one.payload.reported_version)], [1, [7, 7]]);
  setups.registered("other", 7); // Redis lost data, and counts anew
  await settle();
  assert.deepEqual([begun.length, begun[1].setup], [2, "other"]);
  begun[1].end();
  await settle();
  setups.registered("three", 3);
  await settle();
  assert.deepEqual(begun[2].version, 3);
  setups.changed("late", 2);
  begun[2].end();
  await settle();
  assert.equal(begun.length, 3);
});

test("one that failed is not reported, and tried again after the next register", async (t) => {
  t.mock.method(console, "error", () => {});
  const { setups, begun, asked } = setupsOf({ fails: () => true });
  setups.registered("one", 1);
  begun[0].end();
  await settle();
  setups.registered("one", 1);
  await settle();
  assert.deepEqual([begun.length, asked.length], [2, 0]);
});

test("without a setup nothing is applied", async () => {
  const { setups, begun } = setupsOf();
  setups.registered(null, 0);
  await settle();
  assert.equal(begun.length, 0);
});

test("a report is repeated when the service says so, unless another setup runs by then", async (t) => {
  const time = fakeTime(t);
  const { setups, begun, asked } = setupsOf();
  setups.registered("one", 1);
  begun[0].end();
  await time.settle();
  const busy = { ok: false, error: { code: "overloaded", retryable: true, retry_after_s: 5 } };
  asked[0].answer(busy);
  await time.pass(5.1);
  assert.equal(asked.length, 2);
  asked[1].answer(busy);
  setups.changed("two", 2);
  await time.settle();
  begun[1].end();
  await time.pass(5.1);
  assert.deepEqual(asked.map((one) => one.payload.reported_version), [1, 1, 2]);
});
