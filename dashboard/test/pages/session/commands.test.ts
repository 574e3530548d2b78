// @vitest-environment node
import type { Command, CommandUpdate } from "muster-client";
import { expect, test } from "vitest";
import { listed, namesOf, newestFirst, updated, type Entries, type Status } from "@/pages/session/commands/commands";

const none: Entries = new Map();
const at = (second: number): string => new Date(1_700_000_000_000 + second * 1000).toISOString();

function command(id: string, status: Status, second = 0, more: Partial<Command> = {}): Command {
  return {
    session_id: "s",
    command_id: id,
    command: "reboot",
    params: { now: true },
    status,
    attempt: 1,
    created_at: at(second),
    updated_at: at(second),
    ends_at: at(second + 300),
    ...more,
  };
}

function update(id: string, status: Status, second = 1, more: Partial<CommandUpdate> = {}): CommandUpdate {
  return { session_id: "s", command_id: id, command: "reboot", status, at: 1_700_000_000 + second, ...more };
}

test("a status goes forth, whichever of list and events comes first", () => {
  const events = [update("c", "sent"), update("c", "delivered", 2), update("c", "succeeded", 3, { result: 7 })];
  const forth = events.reduce(updated, listed(none, [command("c", "queued")]));
  expect(forth.get("c")).toMatchObject({ status: "succeeded", result: 7, params: { now: true } });
  expect(forth.get("c")?.steps.map((step) => step.status)).toEqual(["queued", "sent", "delivered", "succeeded"]);
  const late = listed(events.reduce(updated, none), [command("c", "sent")]);
  expect(late.get("c")).toMatchObject({ status: "succeeded", result: 7, params: { now: true }, hasParams: true });
});

test("a list that was read earlier takes nothing back", () => {
  const done = updated(listed(none, [command("c", "queued")]), update("c", "failed", 5, { error: "no" }));
  const after = listed(done, [command("c", "queued")]);
  expect(after.get("c")).toMatchObject({ status: "failed", error: "no" });
});

test("a command of somebody else is shown before its parameters are known", () => {
  const seen = updated(none, update("c", "queued"));
  expect(seen.get("c")).toMatchObject({ command: "reboot", hasParams: false });
  expect(listed(seen, [command("c", "queued")]).get("c")).toMatchObject({ hasParams: true, params: { now: true } });
});

test("a result of null, false or 0 is a result", () => {
  for (const result of [null, false, 0, ""]) {
    expect(updated(none, update("c", "succeeded", 1, { result })).get("c")?.result).toEqual(result);
  }
});

test("the newest is first, and names are those used last, each once", () => {
  const entries = listed(none, [
    command("a", "succeeded", 1, { command: "old" }),
    command("b", "succeeded", 3, { command: "new" }),
    command("c", "succeeded", 2, { command: "old" }),
  ]);
  expect(newestFirst(entries).map((entry) => entry.id)).toEqual(["b", "c", "a"]);
  expect(namesOf(entries, ["remembered", "new"])).toEqual(["new", "old", "remembered"]);
});

test("a page that is open for days keeps a bounded number, and all that are open", () => {
  let entries = listed(none, [command("open", "delivered", 0)]);
  for (let count = 1; count < 1000; count += 1) entries = updated(entries, update(`c${count}`, "succeeded", count));
  expect(entries.size).toBe(300);
  expect(entries.has("open")).toBe(true);
  expect(entries.has("c999")).toBe(true);
});
