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
