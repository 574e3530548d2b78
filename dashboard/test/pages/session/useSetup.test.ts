// @vitest-environment node
import { Conflict, NotConnected, Refused } from "muster-client";
import { beforeEach, expect, test, vi } from "vitest";
import { nextTick } from "vue";
import { useSetup, type Setup } from "@/pages/session/setup/useSetup";
import { inScope, settled, TestClient, testFeed, type TestFeed } from "./support";

let client: TestClient;
let feed: TestFeed;
vi.mock("@/stores/client", () => ({ useClient: () => client }));
beforeEach(() => {
  client = new TestClient();
  feed = testFeed();
});

function answer(version: number, setup: string, reported = version): string {
  return `{"setup":${setup},"setup_version":${version},"reported_version":${reported},"undo_available":true}`;
}

async function opened(version: number, setup: string, reported = version): Promise<Setup> {
  const made = inScope(() => useSetup(feed));
  client.answer(answer(version, setup, reported));
  await made.load();
  return made;
}

/** Somebody else saved. */
async function saves(version: number, setup: string): Promise<void> {
  feed.change({ setup_version: version });
  await nextTick();
  client.answer(answer(version, setup));
  await settled();
}

const conflict = new Conflict({ code: "precondition_failed" }, 2);

test("a setup that nobody edits follows what is saved", async () => {
  const setup = await opened(1, '{"a":1}');
  await saves(2, '{"a":2}');
  expect(setup.draft.value.text).toBe('{\n  "a": 2\n}');
  expect([setup.isDirty.value, setup.incoming.value]).toEqual([false, undefined]);
});

test("one that is edited stays, and what somebody else saved is shown beside it", async () => {
  const setup = await opened(1, '{"a":1,"b":1}');
  setup.edit('{"a":5,"b":1}');
  await saves(2, '{"a":1,"b":2}');
  expect(setup.draft.value.text).toBe('{"a":5,"b":1}');
  expect(setup.incoming.value?.version).toBe(2);
  setup.join();
  expect(JSON.parse(setup.draft.value.text)).toEqual({ a: 5, b: 2 });
  expect(setup.incoming.value).toBeUndefined();
  setup.back();
  expect(setup.draft.value.text).toBe('{"a":5,"b":1}'); // nothing of mine is lost
});

test("what is joined is saved over the version that it was joined with", async () => {
  const setup = await opened(1, '{"a":1,"b":1}');
  setup.edit('{"a":5,"b":1}');
  await saves(2, '{"a":1,"b":2}');
  setup.join();
  client.answer(answer(3, '{"a":5,"b":2}'));
  expect(await setup.save()).toBe(true);
  expect(client.asked.at(-1)).toMatchObject({ method: "PUT", headers: { "If-Match": '"2"' }, isRepeatable: false });
  expect(setup.isDirty.value).toBe(false);
});

test("a save that came second overwrites nothing, and shows what was first", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":5}');
  client.answer(conflict, answer(2, '{"a":2}'));
  expect(await setup.save()).toBe(false);
  expect(client.asked.map((one) => one.method)).toEqual(["GET", "PUT", "GET"]);
  expect([setup.incoming.value?.version, setup.draft.value.text]).toEqual([2, '{"a":5}']);
});

test("where both changed the same place somebody chooses", async () => {
  const setup = await opened(1, '{"a":1,"b":1}');
  setup.edit('{"a":5,"b":6}');
  await saves(2, '{"a":2,"b":3}');
  setup.join();
  expect(setup.clashes.value.map((clash) => clash.path)).toEqual([["a"], ["b"]]);
  setup.settle(["mine", "theirs"]);
  expect(JSON.parse(setup.draft.value.text)).toEqual({ a: 5, b: 3 });
  expect([setup.clashes.value, setup.incoming.value]).toEqual([[], undefined]);
});

test("while somebody chooses, a third one saves: the choice begins anew", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":5}');
  await saves(2, '{"a":2}');
  setup.join();
  await saves(3, '{"a":3}');
  expect([setup.clashes.value, setup.incoming.value?.version]).toEqual([[], 3]);
});

test("digits that JavaScript would round are saved as they are", async () => {
  const setup = await opened(1, '{"n":18446744073709551615,"f":1.0}');
  setup.edit(setup.draft.value.text.replace("1.0", "2.0"));
  client.answer(answer(2, '{"n":18446744073709551615,"f":2.0}'));
  await setup.save();
  expect(client.asked.at(-1)?.json).toBe('{"setup":{"n":18446744073709551615,"f":2.0}}');
});

test("a save whose answer was lost is looked for, and found", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":5}');
  client.answer(new NotConnected("cut"), answer(2, '{"a":5}'));
  expect(await setup.save()).toBe(true);
  expect([setup.isDirty.value, setup.saved.value?.version]).toEqual([false, 2]);
});

test("a save that never arrived is not taken for saved", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":5}');
  client.answer(new NotConnected("cut"), answer(1, '{"a":1}'));
  expect(await setup.save()).toBe(false);
  expect([setup.isDirty.value, setup.error.value instanceof NotConnected]).toEqual([true, true]);
});

test("what is typed while it is saved is kept", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":5}');
  const saving = setup.save();
  setup.edit('{"a":56}');
  client.answer(answer(2, '{"a":5}'));
  await saving;
  expect([setup.draft.value.text, setup.isDirty.value, setup.incoming.value]).toEqual(['{"a":56}', true, undefined]);
});

test("an answer that was overtaken by a save changes nothing", async () => {
  const setup = await opened(1, '{"a":1}');
  void setup.load(); // its answer is late
  setup.edit('{"a":5}');
  const late = client.asked.length;
  const saving = setup.save();
  expect(client.asked).toHaveLength(late + 1);
  client.answerLast(answer(2, '{"a":5}'));
  await saving;
  client.answer(answer(1, '{"a":1}'));
  await settled();
  expect(setup.saved.value?.version).toBe(2);
});

test("what the device runs is read where it is another version than the saved one", async () => {
  const setup = await opened(2, '{"a":2}', 1);
  await settled();
  expect(client.asked.at(-1)?.path).toBe("/sessions/kiosk-7/setup/versions/1");
  expect(setup.running.lack.value).toBe("loading");
  client.answer('{"session_id":"kiosk-7","setup":{"a":18446744073709551615},"setup_version":1}');
  await settled();
  expect([setup.running.version.value?.text, setup.running.lack.value]).toEqual([
    '{\n  "a": 18446744073709551615\n}', undefined,
  ]);
});

test("what the page has seen of what the device runs is not read again", async () => {
  const setup = await opened(2, '{"a":2}');
  feed.change({ setup_version: 3 });
  await nextTick();
  client.answer(answer(3, '{"a":3}', 2));
  await settled();
  expect([setup.running.version.value?.text, client.asked.length]).toEqual(['{\n  "a": 2\n}', 2]);
});

test.each([
  ["version_not_found", "gone"],
  ["invalid_request", "older"],
  ["store_unavailable", "failed"],
])("a version that cannot be read is said: %s", async (code, lack) => {
  const setup = await opened(2, '{"a":2}', 1);
  await settled();
  client.answer(new Refused({ code }));
  await settled();
  expect([setup.running.version.value, setup.running.lack.value]).toEqual([undefined, lack]);
  client.answer('{"setup":{"a":1},"setup_version":1}');
  await setup.running.load();
  expect(setup.running.version.value?.version).toBe(1);
});

test("a device that reported nothing runs nothing that is known", async () => {
  const setup = await opened(2, '{"a":2}', 0);
  expect([setup.running.version.value, setup.running.lack.value]).toEqual([undefined, "none"]);
});

test("a text that is no JSON is not sent", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":');
  await setup.save();
  expect(client.asked).toHaveLength(1);
});

test("back and forth go over the version that is shown", async () => {
  const setup = await opened(4, '{"a":1}');
  client.answer(answer(5, '{"a":0}'));
  expect(await setup.step("undo")).toBe(true);
  expect(client.asked.at(-1)).toMatchObject({ path: "/sessions/kiosk-7/setup/undo", headers: { "If-Match": '"4"' } });
  expect(setup.draft.value.text).toBe('{\n  "a": 0\n}');
});

test("what cannot be read again is no failed change, and is forgotten once it can", async () => {
  const setup = await opened(1, '{"a":1}');
  client.answer(new NotConnected("away"));
  await setup.load();
  expect([setup.unread.value, setup.error.value]).toEqual([new NotConnected("away"), undefined]);
  client.answer(answer(2, '{"a":2}'));
  await setup.load();
  expect([setup.unread.value, setup.saved.value?.version]).toEqual([undefined, 2]);
});

test("a draft that turns out to be saved, as its answer was lost, is no conflict", async () => {
  const setup = await opened(1, '{"a":1}');
  setup.edit('{"a":5}');
  await saves(2, '{"a": 5}');
  expect([setup.isDirty.value, setup.incoming.value, setup.saved.value?.version]).toEqual([false, undefined, 2]);
  setup.back();
  expect(setup.draft.value.text).toBe('{\n  "a": 1\n}');
});
