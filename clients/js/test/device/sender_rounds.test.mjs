// Rounds of a sender: several updates under way, and refusals in the midst of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Buffer } from "../../dist/esm/device/buffer.js";
import { payload, Sender } from "../../dist/esm/device/sender.js";
import { numbers } from "../helpers.mjs";

const OK = { ok: true };
const refusal = (code, more = {}) => ({ ok: false, error: { code, ...more } });
const CONFLICT = refusal("conflict", { expected_seq: 1 });

/** A sender with updates under way, each with so many samples, numbered on through all of them. */
async function underWay(...counts) {
  const buffer = new Buffer();
  const sender = new Sender(buffer, 4);
  sender.registered(0);
  let from = 1;
  for (const count of counts) {
    buffer.add(numbers(count, from));
    from += count;
    await sent(buffer, sender);
  }
  return { buffer, sender };
}

async function sent(buffer, sender) {
  sender.prepare();
  await buffer.keepNumbers();
  return shown(sender.take());
}

const shown = (updates) => updates.map((one) => [one.seq, payload(one, 0).samples.map(([, value]) => value)]);

test("both halves of a refused update come before what was behind it", async () => {
  const { buffer, sender } = await underWay(3, 2);
  sender.answered(1, refusal("invalid_request"));
  sender.answered(2, CONFLICT);
  assert.deepEqual(await sent(buffer, sender), [[1, [1]], [2, [2, 3]], [3, [4, 5]]]);
});

test("nothing is sent after a refusal, not even what was not sent yet, until every answer came", async () => {
  const { buffer, sender } = await underWay(1, 1, 1);
  sender.lost();
  const other = new Sender(buffer, 2);
  other.registered(0);
  assert.deepEqual(shown(other.take()), [[1, [1]], [2, [2]]]);
  assert.deepEqual(shown(other.take()), []); // as many as the window has are under way
  other.answered(1, refusal("overloaded", { retryable: true }));
  assert.deepEqual(shown(other.take()), []);
  other.answered(2, CONFLICT);
  await buffer.keepNumbers();
  assert.deepEqual(shown(other.take()), [[1, [1]], [2, [2]]]);
  other.answered(1, OK);
  assert.deepEqual(shown(other.take()), [[3, [3]]]);
});

test("a sample that is refused for good leaves the buffer, and no number is given twice", async () => {
  const { buffer, sender } = await underWay(1, 1, 1);
  sender.answered(1, refusal("too_large"));
  sender.answered(2, CONFLICT);
  sender.answered(3, CONFLICT);
  assert.deepEqual([buffer.length, buffer.highest], [2, 3]);
  assert.deepEqual(await sent(buffer, sender), [[1, [2]], [2, [3]]]);
});

test("an answer to no update settles nothing", async () => {
  const { buffer, sender } = await underWay(1);
  sender.answered(9, OK);
  assert.equal(buffer.length, 1);
});

test("answers of a connection that is lost are not awaited", async () => {
  const { sender } = await underWay(1, 1);
  assert.equal(sender.awaited, 2);
  sender.lost();
  assert.equal(sender.awaited, 0);
});

test("a sample that is larger than an update goes alone", async () => {
  const buffer = new Buffer();
  const sender = new Sender(buffer, 4);
  sender.registered(0);
  const [first, large, last] = numbers(3);
  buffer.add([first, { ...large, size: 300_000 }, last]);
  assert.deepEqual(await sent(buffer, sender), [[1, [1]], [2, [2]], [3, [3]]]);
});

test("a new stream begins at 1, also with what was numbered in the old one", async () => {
  const { buffer, sender } = await underWay(1, 1);
  sender.lost();
  const other = new Sender(buffer, 4);
  buffer.highest = 0; // as in a buffer that was put back
  assert.equal(other.registered(1), true);
  assert.equal(other.registered(0), false);
  await buffer.keepNumbers();
  assert.deepEqual(shown(other.take()), [[1, [2]]]);
});

test("an error without a code is answered by a new register, whatever else is under way", async () => {
  const { sender } = await underWay(1, 1);
  assert.equal(sender.answered(1, { ok: false }).isLost, true);
});
