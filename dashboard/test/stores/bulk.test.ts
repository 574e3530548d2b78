import { createPinia, setActivePinia } from "pinia";
import { effectScope } from "vue";
import { afterEach, beforeEach, describe, expect, it, vi, type MockInstance } from "vitest";
import { useBulkCommand } from "@/pages/fleet/useBulkCommand";
import { useClient } from "@/stores/client";

type Statuses = Record<string, number>;
let answers: (Statuses | Error)[];
let request: MockInstance<ReturnType<typeof useClient>["request"]>;
const WANTED = { command: "reboot", params: '{"serial":18446744073709551615}', ttlS: undefined };
const scope = effectScope();

function bulk(): ReturnType<typeof useBulkCommand> {
  const operator = {
    bulk: vi.fn(() => {
      const next = answers.length > 1 ? answers.shift() : answers[0];
      if (next instanceof Error) return Promise.reject(next);
      return Promise.resolve({ state: "done", statuses: next });
    }),
    bulkDevices: vi.fn(async function* () {
      await Promise.resolve();
      yield { session_id: "a", status: "succeeded", command_id: "c" };
    }),
  };
  request = vi.spyOn(useClient(), "request").mockResolvedValue({ batch_id: "batch" });
  vi.spyOn(useClient(), "operate").mockImplementation((run) => run(operator as never));
  return scope.run(useBulkCommand) as ReturnType<typeof useBulkCommand>;
}

beforeEach(() => {
  setActivePinia(createPinia());
  vi.useFakeTimers();
});
afterEach(() => vi.useRealTimers());

describe("bulk command", () => {
  it("is followed until no device has it open, over a look that fails", async () => {
    answers = [{ queued: 1 }, new Error("away"), { delivered: 1 }, { succeeded: 1 }];
    const one = bulk();
    await one.send(WANTED, ["a"]);
    expect([one.open.value, one.isOver.value]).toEqual([1, false]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(one.error.value).toBeInstanceOf(Error);
    await vi.advanceTimersByTimeAsync(2000);
    expect([one.isOver.value, one.error.value, one.devices.value.length]).toEqual([true, undefined, 1]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("keeps the digits that were written", async () => {
    answers = [{ succeeded: 1 }];
    await bulk().send(WANTED, ["a"]);
    expect(request.mock.calls[0]?.[0].json).toBe(
      '{"command":"reboot","params":{"serial":18446744073709551615},"session_ids":["a"]}',
    );
  });

  it("is followed no more once it is left", async () => {
    answers = [{ queued: 1 }];
    const one = bulk();
    await one.send(WANTED, ["a"]);
    one.reset();
    expect([one.batch.value, vi.getTimerCount()]).toEqual([undefined, 0]);
  });
});
