// @vitest-environment node
import { NotConnected, Refused, type Command } from "muster-client";
import { beforeEach, expect, test, vi } from "vitest";
import { useCommands } from "@/pages/session/commands/useCommands";
import { inScope, settled, TestClient, testFeed, type TestFeed } from "./support";

let client: TestClient;
let feed: TestFeed;
const names = { names: ["used_before"], remember: vi.fn() };
vi.mock("@/stores/client", () => ({ useClient: () => client }));
vi.mock("@/stores/commandNames", () => ({ useCommandNames: () => names }));
beforeEach(() => {
  client = new TestClient();
  feed = testFeed();
  vi.useFakeTimers();
});

const at = "2026-11-29T12:00:00.000Z";
const command = (id: string, more: Partial<Command> = {}): Command => ({
  session_id: "kiosk-7",
  command_id: id,
  command: "reboot",
  params: null,
  status: "queued",
  attempt: 0,
  created_at: at,
  updated_at: at,
  ends_at: at,
  ...more,
});
const wanted = { command: "reboot", params: '{"n":18446744073709551615}', ttlS: undefined };

test("what is sent keeps its digits, and is shown until it ends", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer(command("c1"));
  await commands.send(wanted);
  expect(client.asked[0]?.json).toBe('{"command":"reboot","params":{"n":18446744073709551615}}');
  expect(commands.outgoing.value).toEqual([]);
  const update = {
    command_id: "c1",
    session_id: "kiosk-7",
    command: "reboot",
    status: "succeeded",
    result: 7,
    at: 2e9,
  } as const;
  feed.tell({ kind: "command", sessionId: "kiosk-7", command: update });
  expect(commands.entries.value[0]).toMatchObject({ status: "succeeded", result: 7 });
  expect(names.remember).toHaveBeenCalledWith("reboot");
});

test("one whose answer was lost is sent again as the same command", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer(new NotConnected("cut"));
  await commands.send({ ...wanted, params: "", ttlS: 0 });
  expect(commands.outgoing.value).toMatchObject([{ command: "reboot", state: "unknown" }]);
  const [lost] = commands.outgoing.value;
  client.answer(command("c1"));
  if (lost !== undefined) await commands.sendAgain(lost);
  const [first, second] = client.asked.map((one) => one.headers?.["Idempotency-Key"]);
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  expect(second).toBe(first);
  expect(client.asked[1]?.json).toBe('{"command":"reboot","params":null,"ttl_s":0}');
  expect(commands.outgoing.value).toEqual([]);
});

test("the same sent on purpose is another command", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer(command("c1"), command("c2"));
  await commands.send(wanted);
  await commands.send(wanted);
  expect(new Set(client.asked.map((one) => one.headers?.["Idempotency-Key"])).size).toBe(2);
});

test("one that was refused says so, and can be forgotten", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer(new Refused({ code: "device_offline" }));
  await commands.send(wanted);
  expect(commands.outgoing.value).toMatchObject([{ state: "refused" }]);
  commands.outgoing.value.forEach((one) => commands.forget(one));
  expect(commands.outgoing.value).toEqual([]);
});

test("a command of somebody else is shown at once, and read as a whole soon", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer({ commands: [] });
  await commands.load();
  for (const id of ["x1", "x2"]) {
    const update = { command_id: id, session_id: "kiosk-7", command: "blink", status: "queued", at: 2e9 } as const;
    feed.tell({ kind: "command", sessionId: "kiosk-7", command: update });
  }
  expect(commands.entries.value.map((entry) => entry.hasParams)).toEqual([false, false]);
  client.answer({ commands: [command("x1", { params: 5 }), command("x2")] });
  await vi.advanceTimersByTimeAsync(1000);
  expect(client.asked).toHaveLength(2);
  expect(commands.entries.value.find((entry) => entry.id === "x1")?.params).toBe(5);
  expect(commands.names.value).toEqual(["reboot", "used_before"]);
});

test("an open command that Redis has lost is not shown for ever", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer({ commands: [command("done", { status: "failed" }), command("lost"), command("kept")] });
  await commands.load();
  feed.tell({ kind: "reset" });
  const update = { command_id: "new", session_id: "kiosk-7", command: "blink", status: "queued", at: 2e9 } as const;
  feed.tell({ kind: "command", sessionId: "kiosk-7", command: update });
  client.answer({ commands: [command("kept")] });
  await vi.advanceTimersByTimeAsync(1000);
  await settled();
  expect(commands.entries.value.map((entry) => entry.id).sort()).toEqual(["done", "kept", "new"]);
});

test("after a gap of the feed the list is read again", async () => {
  const commands = inScope(() => useCommands(feed));
  client.answer({ commands: [] });
  await commands.load();
  feed.tell({ kind: "reset" });
  client.answer({ commands: [command("c1", { status: "failed" })] });
  await vi.advanceTimersByTimeAsync(1000);
  await settled();
  expect(commands.entries.value[0]?.status).toBe("failed");
});
