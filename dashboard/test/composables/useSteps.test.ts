// @vitest-environment node
import { beforeEach, expect, test, vi } from "vitest";
import { effectScope } from "vue";
import { useSteps } from "@/composables/useSteps";

/** Each step takes 5 ms of the clock. */
let now = 0;
let given = "a";
function* slow(): Generator<undefined, string> {
  const mine = given;
  for (let step = 0; step < 10; step += 1) {
    now += 5;
    yield;
  }
  return mine;
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(performance, "now").mockImplementation(() => now);
  [now, given] = [0, "a"];
  return () => vi.useRealTimers();
});

test("long work lets others have their turn, and is done in the end", () => {
  const { result, anew } = useInScope();
  anew();
  expect([result.value, now]).toEqual([undefined, 10]);
  vi.runAllTimers();
  expect([result.value, now]).toEqual(["a", 50]);
});

test("what is asked for meanwhile is worked on afterwards, once", () => {
  const { result, anew, again } = useInScope();
  anew();
  given = "b";
  again();
  again();
  vi.advanceTimersToNextTimer();
  expect(result.value).toBeUndefined();
  vi.runAllTimers();
  expect([result.value, now]).toEqual(["b", 100]);
});

test("what is wanted no more is left undone", () => {
  const { result, anew } = useInScope();
  anew();
  given = "b";
  anew();
  vi.runAllTimers();
  expect([result.value, now]).toEqual(["b", 60]);
});

function useInScope(): ReturnType<typeof useSteps<string>> {
  return effectScope(true).run(() => useSteps(slow)) as ReturnType<typeof useSteps<string>>;
}
