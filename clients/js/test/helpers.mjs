// What several tests need: waiting for a condition, bounded, and services that are not there.

/** Wait until `condition` holds; fail after 10 s. */
export async function until(condition, what = "the condition") {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what} did not come true within 10 s`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Return samples as `checkSamples` makes them, numbered from 1. */
export function numbers(count, from = 1) {
  return Array.from({ length: count }, (_, index) => ({ key: "n", json: String(from + index), ts: 1, size: 50 }));
}

/** Time that passes when the test says so: of `performance` and of timers; delays of backoff are as long as they may be. */
export function fakeTime(t) {
  let nowMs = 1_000_000;
  t.mock.timers.enable({ apis: ["setTimeout"] });
  t.mock.method(performance, "now", () => nowMs);
  t.mock.method(Math, "random", () => 1);
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  };
  return {
    settle,
    /** Let so many seconds pass, and everything happen that is due then. */
    async pass(seconds) {
      await settle();
      nowMs += seconds * 1000;
      t.mock.timers.tick(Math.round(seconds * 1000));
      await settle();
    },
  };
}
