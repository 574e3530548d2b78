// What a buffer keeps at most, what it forgets, and what it does where its storage fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Buffer } from "../../dist/esm/device/buffer.js";
import { numbers } from "../helpers.mjs";

const values = (buffer) => buffer.samples(0, 1e6).map((one) => one.sample.json);
const placeOf = (buffer, value) => buffer.samples(0, 1e6).find((one) => one.sample.json === String(value)).place;
const settle = () => new Promise(setImmediate);

/** A storage that notes what is written, waits where the test wants it, and fails as it is told. */
function storage() {
  const made = { written: [], syncs: 0, fails: 0, waits: undefined };
  return Object.assign(made, {
    write(changes) {
      if (made.fails > 0) {
        made.fails -= 1;
        return Promise.reject(new Error("disk full"));
      }
      made.written.push(...changes);
      return made.waits;
    },
    async sync() {
      made.syncs += 1;
    },
    async close() {},
  });
}

test("a buffer is bounded in samples and in bytes; the oldest go", () => {
  const few = new Buffer({ samples: 3 });
  assert.deepEqual([few.add(numbers(3)), few.add(numbers(2, 4)), values(few)], [0, 2, ["3", "4", "5"]]);
  const small = new Buffer({ bytes: 150 }); // of 50 each
  assert.deepEqual([small.add(numbers(3)), small.add(numbers(1, 4)), values(small)], [0, 1, ["2", "3", "4"]]);
});

test("a buffer is bounded in age where that is wanted", () => {
  const old = numbers(2).map((one) => ({ ...one, ts: Date.now() / 1000 - 100 }));
  const young = numbers(1, 3).map((one) => ({ ...one, ts: Date.now() / 1000 - 1 }));
  const buffer = new Buffer({ ageS: 50 });
  buffer.add([...old, ...young]);
  assert.deepEqual(values(buffer), ["3"]);
  const any = new Buffer();
  any.add([...old, ...young]);
  assert.equal(any.length, 3);
});

test("samples that have a number stay, whatever comes", () => {
  const buffer = new Buffer({ samples: 3 });
  buffer.add(numbers(2));
  buffer.number([{ seq: 1, last: placeOf(buffer, 2) }], 1, buffer.stream);
  assert.equal(buffer.add(numbers(3, 3)), 2);
  assert.deepEqual(values(buffer), ["1", "2", "5"]);
});

test("what is settled or refused makes room for as many bytes", () => {
  const buffer = new Buffer({ bytes: 200 });
  buffer.add(numbers(4));
  buffer.settle(placeOf(buffer, 2), []);
  assert.equal(buffer.add(numbers(2, 5)), 0);
  buffer.drop(placeOf(buffer, 4));
  assert.equal(buffer.add(numbers(1, 7)), 0);
  assert.equal(buffer.add(numbers(1, 8)), 1);
  assert.deepEqual(values(buffer), ["5", "6", "7", "8"]);
});

test("what was kept counts, and places go on behind it", () => {
  const kept = (place) => ({ place, sample: numbers(1, place)[0] });
  const numbering = { stream: "s", highest: 4, settled: 1, updates: [{ seq: 4, last: 3 }] };
  const buffer = new Buffer({ bytes: 150 }, undefined, { samples: [kept(1), kept(2), kept(3)], numbering, commands: [] });
  assert.deepEqual([values(buffer), buffer.highest], [["2", "3"], 4]);
  assert.equal(buffer.add(numbers(2, 4)), 1);
  assert.deepEqual(buffer.samples(3, 9).map((one) => one.place), [5]);
  const empty = new Buffer({}, undefined, { samples: [], numbering, commands: [] });
  empty.add(numbers(1));
  assert.equal(empty.samples(0, 9)[0].place, 4); // behind the last that has a number
});

test("what is dropped, refused or settled is written as such", async () => {
  const made = storage();
  const buffer = new Buffer({ samples: 2 }, made);
  buffer.add(numbers(3));
  const [first, second] = buffer.samples(0, 9);
  buffer.drop(first.place);
  buffer.settle(second.place, []);
  await settle();
  const written = made.written.slice(1);
  assert.deepEqual(written.map((one) => one.drop ?? one.number.settled), [[1], [first.place], second.place]);
});

test("numbers that came while others were written are not taken for kept", async () => {
  const made = storage();
  const buffer = new Buffer({}, made);
  buffer.add(numbers(2));
  buffer.number([{ seq: 1, last: 1 }], 1, buffer.stream);
  let done;
  made.waits = new Promise((resolve) => (done = resolve));
  const keeping = buffer.keepNumbers();
  buffer.number([{ seq: 1, last: 1 }, { seq: 2, last: 2 }], 2, buffer.stream);
  done();
  await keeping;
  assert.equal(buffer.areNumbersKept, false);
  made.waits = undefined;
  await buffer.keepNumbers();
  assert.deepEqual([buffer.areNumbersKept, made.syncs], [true, 2]);
});

test("a change that could not be written is written with the next one", async () => {
  const made = storage();
  const buffer = new Buffer({}, made);
  await buffer.add(numbers(3));
  made.fails = 1;
  buffer.drop(1);
  await settle();
  await buffer.add(numbers(1, 4));
  assert.deepEqual(made.written.slice(1).map((one) => one.drop ?? one.add.length), [[1], 1]);
});

test("changes that wait for a write which fails are written later, in their order", async () => {
  const made = storage();
  const buffer = new Buffer({}, made);
  await buffer.add(numbers(4));
  let done;
  made.waits = new Promise((resolve) => (done = resolve));
  buffer.drop(1);
  buffer.drop(2);
  const added = buffer.add(numbers(1, 5)); // waits behind both
  made.waits = undefined;
  made.fails = 1;
  done();
  await assert.rejects(added, /disk full/);
  assert.deepEqual(values(buffer), ["3", "4"]);
  await buffer.add(numbers(1, 6));
  assert.deepEqual(made.written.slice(1).map((one) => one.drop ?? one.add.length), [[1], [2], 1]);
});

test("of reported commands a thousand are remembered, of the others each", async () => {
  const made = storage();
  const buffer = new Buffer({}, made);
  for (let number = 0; number < 1005; number += 1) {
    await buffer.taken(`c${number}`, "x", null);
    if (number < 1003) {
      await buffer.ended(`c${number}`, { ok: true, result: null });
      if (number > 0) buffer.reported(`c${number}`);
    }
  }
  const isKnown = (number) => buffer.command(`c${number}`) !== undefined;
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 1004].map(isKnown), [true, ...Array(5).fill(false), true, true]);
  assert.deepEqual(buffer.unreported().map((one) => one.id), ["c0", "c1003", "c1004"]);
  await settle();
  const forgotten = made.written.flatMap((one) => one.forget ?? []);
  assert.deepEqual(forgotten, ["c1", "c2", "c3", "c4", "c5"]);
});

test("results that are large are remembered in bytes", async () => {
  const buffer = new Buffer();
  const large = "x".repeat(1 << 20);
  for (let number = 0; number < 6; number += 1) {
    await buffer.taken(`c${number}`, "x", null);
    await buffer.ended(`c${number}`, { ok: true, result: large });
    buffer.reported(`c${number}`);
  }
  assert.deepEqual([1, 2, 3].map((number) => buffer.command(`c${number}`) !== undefined), [false, false, true]);
});

test("a command that could not be written down is not known, and one that was is on the disk", async () => {
  const made = storage();
  const buffer = new Buffer({}, made);
  made.fails = 1;
  await assert.rejects(buffer.taken("a", "x", null), /disk full/);
  assert.equal(buffer.command("a"), undefined);
  await buffer.taken("a", "x", null);
  const { syncs } = made;
  await buffer.started("a");
  await buffer.ended("a", { ok: true, result: 1 });
  assert.deepEqual([syncs, made.syncs], [1, 3]);
});

test("a closed buffer takes nothing", async () => {
  const buffer = new Buffer();
  await buffer.close();
  assert.throws(() => buffer.add(numbers(1)), { code: "bad_buffer" });
});
