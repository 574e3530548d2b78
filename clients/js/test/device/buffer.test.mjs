// A buffer is the same after a restart, in a file as in a database: one contract, and what only files know.
import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, copyFileSync, existsSync, mkdtempSync, readFileSync } from "node:fs";
import { rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Buffer } from "../../dist/esm/device/buffer.js";
import { openDatabase } from "../../dist/esm/storage/database.js";
import { openFile } from "../../dist/esm/storage/file.js";
import { numbers } from "../helpers.mjs";

const held = new Set();
/** Web Locks as far as they are used. */
const locks = {
  async request(name, _options, work) {
    if (held.has(name)) return work(null);
    held.add(name);
    try {
      return await work({ name });
    } finally {
      held.delete(name);
    }
  },
};

const folder = mkdtempSync(join(tmpdir(), "muster-js-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const opens = {
  file: openFile,
  database: (name) => openDatabase(name, { indexedDB, locks }),
};

async function opened(open, path, bounds) {
  const { storage, kept } = await open(path);
  return new Buffer(bounds, storage, kept);
}

for (const [kind, open] of Object.entries(opens)) {
  const fresh = () => join(folder, `${kind}-${(count += 1)}`);
  const values = (buffer) => buffer.samples(0, 1e6).map((one) => one.sample.json);

  test(`${kind}: samples, numbers and commands are there after a restart`, async () => {
    const path = fresh();
    const first = await opened(open, path);
    assert.equal(first.isNew, true);
    await first.add(numbers(5));
    const places = first.samples(0, 5).map((one) => one.place);
    first.number([{ seq: 1, last: places[1] }, { seq: 2, last: places[2] }], 2, first.stream);
    await first.keepNumbers();
    first.settle(places[1], [{ seq: 2, last: places[2] }]);
    await first.taken("b", "add", { a: 1 });
    await first.taken("a", "add", null);
    await first.started("b");
    await first.ended("b", { ok: true, result: 3 });
    first.reported("b");
    await first.close();
    const second = await opened(open, path);
    assert.deepEqual(values(second), ["3", "4", "5"]);
    assert.deepEqual([second.isNew, second.stream, second.highest], [false, first.stream, 2]);
    assert.deepEqual(second.numbered, [{ seq: 2, last: places[2] }]);
    assert.deepEqual(second.command("b").outcome, { ok: true, result: 3 });
    assert.deepEqual(second.unreported().map((one) => [one.id, one.isStarted]), [["a", false]]);
    await second.add(numbers(1, 6));
    assert.ok(second.samples(0, 9).at(-1).place > places[4]);
    await second.close();
  });

  test(`${kind}: what was dropped stays dropped`, async () => {
    const path = fresh();
    const first = await opened(open, path, { samples: 3 });
    assert.equal(await first.add(numbers(5)), 2);
    first.drop(first.samples(0, 1)[0].place);
    await first.close();
    const second = await opened(open, path);
    assert.deepEqual(values(second), ["4", "5"]);
    await second.close();
  });

  test(`${kind}: the second who opens it gets buffer_in_use, until the first has closed it`, async () => {
    const path = fresh();
    const first = await opened(open, path);
    await assert.rejects(open(path), { code: "buffer_in_use" });
    await first.close();
    await (await opened(open, path)).close();
  });

  test(`${kind}: sends that do not wait for one another are kept in their order`, async () => {
    const path = fresh();
    const first = await opened(open, path);
    await Promise.all(Array.from({ length: 50 }, (_, index) => first.add(numbers(1, index))));
    await first.close();
    const second = await opened(open, path);
    assert.deepEqual(values(second), Array.from({ length: 50 }, (_, index) => String(index)));
    await second.close();
  });

  test(`${kind}: after it was closed nothing is taken`, async () => {
    const buffer = await opened(open, fresh());
    await buffer.close();
    await assert.rejects(async () => buffer.add(numbers(1)), { code: "bad_buffer" });
    assert.equal(buffer.length, 0);
  });
}

for (const [name, lose] of Object.entries({
  "closed by the browser": (database) => database.close(),
  "deleted with the data of the site": async (database, path) => {
    const deleting = indexedDB.deleteDatabase(`muster-client/${path}`);
    await new Promise((resolve, reject) => Object.assign(deleting, { onsuccess: resolve, onerror: reject }));
  },
})) {
  test(`database: one that was ${name} is opened again, and has everything`, async () => {
    const path = join(folder, `lost-${(count += 1)}`);
    const connections = [];
    const factory = {
      open: (...given) => {
        const opening = indexedDB.open(...given);
        opening.addEventListener("success", () => connections.push(opening.result));
        return opening;
      },
    };
    const open = (given) => openDatabase(given, { indexedDB: factory, locks });
    const first = await opened(open, path);
    await first.add(numbers(2));
    first.number([{ seq: 1, last: first.samples(0, 1)[0].place }], 1, first.stream);
    await first.keepNumbers();
    await lose(connections[0], path);
    await first.add(numbers(1, 3));
    await first.close();
    assert.equal(connections.length, 2);
    const second = await opened(open, path);
    assert.deepEqual(second.samples(0, 9).map((one) => one.sample.json), ["1", "2", "3"]);
    assert.deepEqual([second.stream, second.numbered.length], [first.stream, 1]);
    await second.close();
  });
}

test("database: a browser without room aborts the write: the sample was not taken, and the next one is", async () => {
  const path = join(folder, `full-${(count += 1)}`);
  let isFull = false;
  const factory = {
    open: (...given) => {
      const opening = indexedDB.open(...given);
      opening.addEventListener("success", () => {
        const { result } = opening;
        const begin = result.transaction.bind(result);
        result.transaction = (...wanted) => {
          const made = begin(...wanted);
          if (isFull) queueMicrotask(() => made.abort()); // no request fails, as with a full quota in Chrome
          return made;
        };
      });
      return opening;
    },
  };
  const buffer = await opened((given) => openDatabase(given, { indexedDB: factory, locks }), path);
  isFull = true;
  await assert.rejects(async () => buffer.add(numbers(1)), { code: "bad_buffer" });
  assert.equal(buffer.length, 0);
  isFull = false;
  await buffer.add(numbers(1, 2));
  await buffer.close();
  const again = await opened(opens.database, path);
  assert.deepEqual(again.samples(0, 9).map((one) => one.sample.json), ["2"]);
  await again.close();
});

test("database: a window without one is told why", async () => {
  for (const platform of [{ indexedDB: null, locks }, { indexedDB, locks: undefined }]) {
    await assert.rejects(openDatabase("none", platform), { code: "bad_buffer", message: /needs IndexedDB/ });
  }
});

test("file: a process that was killed holds no lock, and another process gets buffer_in_use", async () => {
  const path = join(folder, "processes");
  const first = await opened(openFile, path);
  const other = `import("${new URL("../../dist/esm/storage/file.js", import.meta.url)}").then(({ openFile }) =>
    openFile(process.argv[1])).then(() => process.kill(process.pid, "SIGKILL"), (error) => console.log(error.code))`;
  const run = () => execFileSync(process.execPath, ["-e", other, path], { encoding: "utf8", timeout: 20_000 });
  assert.equal(run(), "buffer_in_use\n");
  await first.close();
  assert.throws(run, { signal: "SIGKILL" });
  await (await opened(openFile, path)).close();
});

/** A file with samples 1, 2, 3, each written and synced by itself. */
async function threeSynced(name) {
  const path = join(folder, name);
  const buffer = await opened(openFile, path);
  for (const value of [1, 2, 3]) {
    buffer.add(numbers(1, value));
    await buffer.sync();
  }
  return { path, buffer };
}

test("file: every cut leaves a buffer with the writes before it, none by half", async () => {
  const { path, buffer } = await threeSynced("cut");
  await buffer.close();
  const whole = readFileSync(path);
  const headerSize = whole.indexOf(10) + 1;
  let most = 0;
  for (let size = headerSize; size <= whole.length; size += 1) {
    writeFileSync(path, whole.subarray(0, size));
    const again = await opened(openFile, path);
    const kept = again.samples(0, 9).map((one) => one.sample.json);
    assert.deepEqual(kept, ["1", "2", "3"].slice(0, kept.length));
    assert.ok(kept.length >= most);
    most = kept.length;
    again.add(numbers(1, 9));
    await again.close();
    const last = await opened(openFile, path);
    assert.equal(last.length, kept.length + 1);
    await last.close();
  }
  assert.equal(most, 3);
});

test("file: a byte that is wrong where all was on the disk is told, and nothing is lost silently", async () => {
  const { path, buffer } = await threeSynced("damaged");
  await buffer.close();
  const whole = readFileSync(path);
  whole[whole.indexOf(10) + 20] ^= 1;
  writeFileSync(path, whole);
  await assert.rejects(openFile(path), { code: "bad_buffer", message: /damaged at byte \d+/ });
});

test("file: what is no buffer is refused and left as it is", async () => {
  const path = join(folder, "foreign");
  writeFileSync(path, "SQLite format 3\n");
  await assert.rejects(openFile(path), { code: "bad_buffer" });
  assert.equal(readFileSync(path, "utf8"), "SQLite format 3\n");
  await assert.rejects(openFile(join(folder, "no", "folder")), { code: "bad_buffer" });
});

test("file: it is written anew when most of it is history", async () => {
  const path = join(folder, "long");
  const buffer = await opened(openFile, path, { samples: 100 });
  const large = JSON.stringify("x".repeat(50_000));
  for (let turn = 0; turn < 400; turn += 1) buffer.add([{ key: "n", json: large, ts: 1, size: 50_100 }]);
  assert.ok(statSync(path).size < 20 * 2 ** 20, String(statSync(path).size));
  copyFileSync(path, `${path}-copy`); // as it is now, with no word to the buffer
  const copy = await opened(openFile, `${path}-copy`);
  assert.equal(copy.length, 100);
  await copy.close();
  await buffer.close();
  assert.equal(existsSync(`${path}.new`), false);
});

test("file: a write that failed leaves all as it was, and the next one succeeds", async () => {
  const path = join(folder, "full");
  const buffer = await opened(openFile, path);
  buffer.add(numbers(1));
  appendFileSync(path, "half a line of a write that found the disk full".repeat(9)); // as a partial write leaves it
  await buffer.close();
  const again = await opened(openFile, path);
  assert.equal(again.length, 1);
  again.add(numbers(1, 2));
  await again.close();
  assert.doesNotMatch(readFileSync(path, "utf8"), /half a line/);
  const last = await opened(openFile, path);
  assert.equal(last.length, 2);
  await last.close();
});
