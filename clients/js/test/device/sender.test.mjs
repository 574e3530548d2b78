// The rule by which a device loses nothing and stores nothing twice, against a service in a few lines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Buffer } from "../../dist/esm/device/buffer.js";
import { payload, Sender } from "../../dist/esm/device/sender.js";
import { numbers } from "../helpers.mjs";

const OK = { ok: true };
const refusal = (code, more = {}) => ({ ok: false, error: { code, ...more } });

/** A sender that was registered, and its buffer with samples. */
function registered(count, { window = 4, lastSeq = 0 } = {}) {
  const buffer = new Buffer();
  const sender = new Sender(buffer, window);
  sender.registered(lastSeq);
  buffer.add(numbers(count));
  return { buffer, sender };
}

/** Number what is new, keep the numbers, and return what is sent: [seq, values]. */
async function sent(buffer, sender) {
  sender.prepare();
  await buffer.keepNumbers();
  return sender.take().map((update) => [update.seq, payload(update, 0).samples.map(([, value]) => value)]);
}

test("nothing is sent before register", async () => {
  const buffer = new Buffer();
  buffer.add(numbers(1));
  assert.deepEqual(await sent(buffer, new Sender(buffer)), []);
});

test("nothing is sent before its number is kept", async () => {
  const { buffer, sender } = registered(1);
  sender.prepare();
  assert.deepEqual(sender.take(), []);
  await buffer.keepNumbers();
  assert.equal(sender.take().length, 1);
});

test("many samples become one update, of 2,000 at most", async () => {
  const { buffer, sender } = registered(2001);
  const updates = await sent(buffer, sender);
  assert.deepEqual(updates.map(([seq, values]) => [seq, values.length]), [[1, 2000], [2, 1]]);
});

test("an update is far smaller than a message may be", async () => {
  const { buffer, sender } = registered(0);
  buffer.add(numbers(5).map((one) => ({ ...one, size: 100_000 })));
  const updates = await sent(buffer, sender);
  assert.deepEqual(updates.map(([, values]) => values.length), [2, 2, 1]);
});

test("an ok settles its update and those before it", async () => {
  const { buffer, sender } = registered(1);
  await sent(buffer, sender);
  buffer.add(numbers(1, 2));
  await sent(buffer, sender);
  sender.answered(2, OK);
  assert.equal(buffer.length, 0);
});

test("what was not answered is sent again with its number and samples, whatever came since", async () => {
  const { buffer, sender } = registered(2);
  const first = await sent(buffer, sender);
  sender.lost();
  buffer.add(numbers(3, 3));
  sender.registered(0);
  assert.deepEqual(await sent(buffer, sender), first);
  assert.deepEqual(await sent(buffer, sender), [[2, [3, 4, 5]]]);
});

test("last_seq settles what was stored and whose answer was lost", async () => {
  const { buffer, sender } = registered(2);
  await sent(buffer, sender);
  sender.lost();
  sender.registered(1);
  assert.equal(buffer.length, 0);
  buffer.add(numbers(1, 3));
  assert.deepEqual(await sent(buffer, sender), [[2, [3]]]);
});

test("a buffer that is older than the service takes a new stream and settles what is known", async () => {
  const { buffer, sender } = registered(1);
  await sent(buffer, sender);
  const { stream } = buffer;
  sender.lost();
  assert.equal(sender.registered(7), true);
  assert.notEqual(buffer.stream, stream);
  assert.deepEqual(sender.take(), []);
  assert.equal(sender.registered(0), false);
  assert.equal(buffer.length, 0);
  buffer.add(numbers(1, 2));
  assert.deepEqual(await sent(buffer, sender), [[1, [2]]]);
});

test("numbers that the service has lost are not given again, as it may get them back from a backup", async () => {
  const { buffer, sender } = registered(1);
  await sent(buffer, sender);
  const { stream } = buffer;
  sender.answered(1, OK);
  buffer.add(numbers(1, 2));
  await sent(buffer, sender);
  sender.lost();
  assert.equal(sender.registered(0), true);
  assert.notEqual(buffer.stream, stream);
  assert.deepEqual(sender.take(), []);
  assert.equal(sender.registered(0), false);
  assert.deepEqual(await sent(buffer, sender), [[1, [2]]]);
});

test("a buffer whose samples are all settled gives no lost number again either", async () => {
  const { buffer, sender } = registered(1);
  await sent(buffer, sender);
  sender.answered(1, OK);
  assert.equal(new Sender(buffer).registered(0), true);
  assert.equal(new Sender(buffer).registered(0), false);
});

test("one refused among many is dropped alone, after all answers, and the rest is numbered anew once", async () => {
  const { buffer, sender } = registered(0);
  for (let value = 1; value <= 4; value += 1) {
    buffer.add(numbers(1, value));
    await sent(buffer, sender);
  }
  sender.answered(1, OK);
  assert.deepEqual(sender.answered(2, refusal("too_large")).dropped, []);
  assert.deepEqual(await sent(buffer, sender), []);
  sender.answered(3, refusal("conflict", { expected_seq: 2 }));
  const { dropped } = sender.answered(4, refusal("conflict", { expected_seq: 2 }));
  assert.deepEqual(dropped.map((one) => [one.stored.sample.json, one.error.code]), [["2", "too_large"]]);
  assert.deepEqual(await sent(buffer, sender), [[2, [3]], [3, [4]]]);
});

test("a refused batch is split until the refused sample stands alone", async () => {
  const { buffer, sender } = registered(7);
  const stored = [];
  const dropped = [];
  for (let round = 0; buffer.length > 0; round += 1) {
    assert.ok(round < 20);
    const updates = await sent(buffer, sender);
    let expected = updates[0][0];
    for (const [seq, values] of updates) {
      let answer = OK;
      if (seq !== expected) answer = refusal("conflict", { expected_seq: expected });
      else if (values.includes(5)) answer = refusal("invalid_request");
      else stored.push(...values);
      if (answer === OK) expected += 1;
      dropped.push(...sender.answered(seq, answer).dropped.map((one) => one.stored.sample.json));
    }
  }
  assert.deepEqual([stored, dropped], [[1, 2, 3, 4, 6, 7], ["5"]]);
});

test("a retryable refusal waits as it says and drops nothing", async () => {
  const { buffer, sender } = registered(1);
  const first = await sent(buffer, sender);
  const meaning = sender.answered(1, refusal("rate_limited", { retryable: true, retry_after_s: 3 }));
  assert.equal(meaning.waitS, 3);
  assert.deepEqual(await sent(buffer, sender), first);
});

for (const code of ["conflict", "stale_generation", "not_registered", "session_not_found", "internal"]) {
  test(`${code} alone is answered by a new register, and settles nothing`, async () => {
    const { buffer, sender } = registered(1);
    await sent(buffer, sender);
    assert.equal(sender.answered(1, refusal(code, { expected_seq: 9 })).isLost, true);
    assert.equal(buffer.length, 1);
  });
}

test("a full buffer drops the oldest that have no number, and only these", async () => {
  const buffer = new Buffer({ samples: 4 });
  const sender = new Sender(buffer, 1);
  sender.registered(0);
  buffer.add(numbers(2));
  await sent(buffer, sender);
  assert.equal(buffer.add(numbers(4, 3)), 2);
  sender.answered(1, OK);
  assert.deepEqual(await sent(buffer, sender), [[2, [5, 6]]]);
});
