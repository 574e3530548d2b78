// Functions of the program: what they throw ends nothing of ours.

/** Call a callback of the program. */
export function tell<A extends unknown[]>(callback: (...given: A) => unknown, ...given: A): void {
  try {
    callback(...given);
  } catch (error) {
    console.error("muster-client: a callback failed", error);
  }
}
