import { NotConnected, Refused } from "muster-client";
import type { Request } from "muster-client/rest";
import { createPinia, setActivePinia } from "pinia";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { useAuth } from "@/stores/auth";
import { useBulk } from "@/stores/bulk";
import { useClient } from "@/stores/client";

type Statuses = Record<string, number>;
let answers: (Statuses | Error)[];
let taken: (true | Error)[];
let keys: (string | undefined)[];
let looks: number;
let bodies: (string | undefined)[];
/** Until the devices can be read. */
let devices: Promise<unknown>;
/** Until those after the first 500 can be read. */
let rest: Promise<unknown>;
let amount: number;
const WANTED = { command: "reboot", params: '{"serial":18446744073709551615}', ttlS: undefined };

function bulk(): ReturnType<typeof useBulk> {
  const operator = {
    bulk: (): Promise<unknown> => {
      looks += 1;
      const next = answers.length > 1 ? answers.shift() : answers[0];
      return next instanceof Error ? Promise.reject(next) : Promise.resolve({ state: "done", statuses: next });
    },
    async *bulkDevices(): AsyncGenerator {
      await devices;
      for (let count = 0; count < amount; count += 1) {
        if (count === 500) await rest;
        yield { session_id: "a", status: "succeeded", command_id: "c" };
      }
    },
  };
  const client = useClient();
  vi.spyOn(client, "consult").mockImplementation((run) => run(operator as never));
  vi.spyOn(client, "request").mockImplementation(({ headers, json }: Request) => {
    bodies.push(json);
    keys.push(headers?.["Idempotency-Key"]);
    const next = taken.shift() ?? true;
    return next instanceof Error ? Promise.reject(next) : Promise.resolve({ batch_id: "batch" } as never);
  });
  return useBulk();
}

beforeEach(() => {
  sessionStorage.clear();
  setActivePinia(createPinia());
  vi.useFakeTimers();
  [answers, taken, keys, looks, bodies] = [[{ queued: 1 }], [], [], 0, []];
  [devices, rest, amount] = [Promise.resolve(), Promise.resolve(), 1];
});
afterEach(() => vi.useRealTimers());

describe("bulk command", () => {
  it("is followed until no device has it open, over looks that fail", async () => {
    answers = [new Error("away"), { queued: 1 }, new Error("away"), { delivered: 1 }, { succeeded: 1 }];
    const one = bulk();
    await one.send(WANTED, ["a"]);
    expect([one.batch?.total, one.isOver]).toEqual([1, false]); // it is known that it was sent
    await vi.advanceTimersByTimeAsync(2000);
    expect(one.error).toBeInstanceOf(Error);
    await vi.advanceTimersByTimeAsync(2000);
    expect([one.ended, one.isOver, one.error, one.devices.length]).toEqual([1, true, undefined, 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("shows how many have ended before each device was read, and reads them again where that failed", async () => {
    let letRead = (): void => undefined;
    devices = new Promise<void>((resolve) => (letRead = resolve));
    answers = [{ succeeded: 1, queued: 9999 }, { succeeded: 10_000 }];
    const one = bulk();
    void one.send(WANTED, ["a"]);
    await vi.advanceTimersByTimeAsync(0);
    expect([one.ended, one.devices.length]).toEqual([1, 0]);
    letRead();
    let fail = (_: Error): void => undefined;
    devices = new Promise<void>((_, reject) => (fail = reject));
    await vi.advanceTimersByTimeAsync(1000);
    fail(new Error("away"));
    devices = Promise.resolve();
    await vi.advanceTimersByTimeAsync(0);
    expect([one.ended, one.error, vi.getTimerCount()]).toEqual([10_000, new Error("away"), 1]);
    await vi.advanceTimersByTimeAsync(1000);
    expect([one.devices.length, one.error, vi.getTimerCount()]).toEqual([1, undefined, 0]);
  });

  it("shows the first devices of very many while the others are read", async () => {
    let letRead = (): void => undefined;
    [rest, amount] = [new Promise<void>((resolve) => (letRead = resolve)), 501];
    answers = [{ succeeded: 501 }];
    const one = bulk();
    void one.send(WANTED, ["a"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(one.devices.length).toBe(500);
    letRead();
    await vi.advanceTimersByTimeAsync(0);
    expect([one.devices.length, vi.getTimerCount()]).toEqual([501, 0]);
  });

  it("keeps the digits that were written", async () => {
    await bulk().send(WANTED, ["a"]);
    expect(bodies).toEqual(['{"command":"reboot","params":{"serial":18446744073709551615},"session_ids":["a"]}']);
  });

  it("is the same one where it is sent again because no answer came, and another one otherwise", async () => {
    taken = [new NotConnected("lost"), true, new Refused({ code: "overloaded" }), true];
    const one = bulk();
    for (let count = 0; count < 4; count += 1) await one.send(WANTED, ["a"]);
    const [lost, again, refused, later] = keys;
    expect(again).toBe(lost);
    expect(new Set([again, refused, later]).size).toBe(3);
    taken = [new NotConnected("lost"), true];
    await one.send(WANTED, ["a"]);
    await one.send(WANTED, ["b"]);
    expect(keys.at(-1)).not.toBe(keys.at(-2));
  });

  it("is looked at less often when what is open waits for devices that are away", async () => {
    await bulk().send(WANTED, ["a"]);
    await vi.advanceTimersByTimeAsync(60_000);
    const before = looks;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(looks - before).toBe(2);
  });

  it("is followed no more once it is forgotten, or somebody else signs in", async () => {
    const one = bulk();
    await one.send(WANTED, ["a"]);
    one.reset();
    expect([one.batch, vi.getTimerCount()]).toEqual([undefined, 0]);
    await one.send(WANTED, ["a"]);
    useAuth().signIn("another", false);
    await vi.advanceTimersByTimeAsync(0);
    expect([one.batch, vi.getTimerCount()]).toEqual([undefined, 0]);
  });
});
