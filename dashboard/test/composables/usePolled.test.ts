import { createPinia, setActivePinia } from "pinia";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { effectScope, nextTick, type EffectScope } from "vue";
import { usePolled, type Polled } from "@/composables/usePolled";
import { useClient } from "@/stores/client";

let scope: EffectScope;
const answers: { resolve: (value: string) => void; reject: (error: unknown) => void }[] = [];
const load = vi.fn(() => new Promise<string>((resolve, reject) => answers.push({ resolve, reject })));

function polled(): Polled<string> {
  const made = scope.run(() => usePolled(load, 1000));
  if (made === undefined) throw new Error("the scope has ended");
  return made;
}

beforeEach(() => {
  vi.useFakeTimers();
  setActivePinia(createPinia());
  scope = effectScope();
  answers.length = 0;
  load.mockClear();
});
afterEach(() => {
  scope.stop();
  vi.useRealTimers();
});

describe("what is polled", () => {
  it("is asked for again after each answer, and no more when its page is left", async () => {
    const { data } = polled();
    answers[0]?.resolve("one");
    await vi.advanceTimersByTimeAsync(999);
    expect([data.value, load.mock.calls.length]).toEqual(["one", 1]);
    await vi.advanceTimersByTimeAsync(1);
    expect(load).toHaveBeenCalledTimes(2);
    scope.stop();
    answers[1]?.resolve("two");
    await vi.advanceTimersByTimeAsync(10_000);
    expect([data.value, load.mock.calls.length]).toEqual(["one", 2]);
  });

  it("stays as it was when it cannot be had, which is said, and is asked for again", async () => {
    const { data, error } = polled();
    answers[0]?.resolve("one");
    await vi.advanceTimersByTimeAsync(1000);
    answers[1]?.reject(new Error("away"));
    await vi.advanceTimersByTimeAsync(1000);
    expect([data.value, error.value]).toEqual(["one", new Error("away")]);
    answers[2]?.resolve("three");
    await vi.advanceTimersByTimeAsync(0);
    expect([data.value, error.value]).toEqual(["three", undefined]);
  });

  it("is asked of the other node at once, and what the first one says late does not count", async () => {
    const { data } = polled();
    useClient().moveTo(["http://other.test"]);
    await nextTick();
    expect(load).toHaveBeenCalledTimes(2);
    answers[1]?.resolve("of the second");
    answers[0]?.resolve("of the first");
    await vi.advanceTimersByTimeAsync(0);
    expect(data.value).toBe("of the second");
  });

  it("is not asked for while nobody sees the page", async () => {
    const hidden = vi.spyOn(document, "hidden", "get").mockReturnValue(true);
    polled();
    answers[0]?.resolve("one");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(load).toHaveBeenCalledTimes(1);
    hidden.mockReturnValue(false);
    document.dispatchEvent(new Event("visibilitychange"));
    expect(load).toHaveBeenCalledTimes(2);
  });
});
