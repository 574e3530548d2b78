import { effectScope, shallowRef, watch } from "vue";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useLatest } from "@/pages/session/useLatest";

const scope = effectScope();
beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  scope.stop();
  vi.useRealTimers();
});

it("shows a value that comes after a pause at once, and of many that follow five a second", () => {
  let tell: (value: number) => void = () => undefined;
  const feed = {
    on: ({ samples }: { samples: (change: object) => void }): void => {
      tell = (value) => samples({ samples: [["n", value, 1]] });
    },
  };
  const paints = vi.fn();
  const shown = scope.run(() => {
    const latest = useLatest(feed as never, { session: shallowRef(undefined) } as never);
    watch(latest, paints, { flush: "sync" });
    return latest;
  });
  tell(0);
  expect(paints).toHaveBeenCalledTimes(1);
  for (let count = 1; count <= 100; count += 1) {
    tell(count);
    vi.advanceTimersByTime(10);
  }
  expect(shown?.value.get("n")?.value).toBe(100);
  expect(paints.mock.calls.length).toBeLessThanOrEqual(6);
});
