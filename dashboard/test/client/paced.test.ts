import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { pacedFrames } from "@/client/paced";

let now: number;
let frames: (() => void)[];

beforeEach(() => {
  [now, frames] = [1_000, []];
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(performance, "now").mockImplementation(() => now);
  vi.stubGlobal("requestAnimationFrame", (run: () => void) => frames.push(run));
  vi.stubGlobal("cancelAnimationFrame", () => undefined);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** A frame that takes so long to be drawn. */
async function frame(ms: number): Promise<void> {
  for (const run of frames.splice(0)) run();
  now += ms;
  await new Promise((resolve) => setImmediate(resolve)); // what is behind the frame
  await new Promise((resolve) => setImmediate(resolve));
}

function pass(ms: number): void {
  now += ms;
  vi.advanceTimersByTime(ms);
}

it("shows what comes with the next frame, and then leaves nine tenths of the time to others", async () => {
  const schedule = pacedFrames();
  const shown = vi.fn<() => void>();
  schedule(shown);
  expect(frames).toHaveLength(1);
  await frame(5);
  expect(shown).toHaveBeenCalledTimes(1);
  schedule(shown); // 5 ms of 50 are over
  pass(44);
  expect(frames).toHaveLength(0);
  pass(1);
  expect(frames).toHaveLength(1);
  await frame(5);
  pass(1_000);
  schedule(shown);
  expect(frames).toHaveLength(1); // after a pause nothing waits
});

it("does not wait longer than half a second behind a frame that took for ever", async () => {
  const schedule = pacedFrames();
  schedule(vi.fn<() => void>());
  await frame(10_000);
  schedule(vi.fn<() => void>());
  expect(frames).toHaveLength(1);
});

it("makes no pause in a hidden page, whose timers may wait a minute each", async () => {
  const schedule = pacedFrames();
  schedule(vi.fn<() => void>());
  await frame(50);
  vi.spyOn(document, "hidden", "get").mockReturnValue(true);
  schedule(vi.fn<() => void>());
  expect(frames).toHaveLength(1);
});

it("leaves out the pause that a very slow frame would need", async () => {
  const schedule = pacedFrames();
  schedule(vi.fn<() => void>());
  await frame(200);
  schedule(vi.fn<() => void>());
  pass(299);
  expect(frames).toHaveLength(0);
  pass(1);
  expect(frames).toHaveLength(1);
});
