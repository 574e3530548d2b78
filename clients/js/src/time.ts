// Waiting: delays of any length, and the delays between attempts to connect.

/** Longest delay of a timer; a longer one would end at once. */
export const LONGEST_MS = 2 ** 31 - 1;

/** A timer that may be longer than 24 days and can be ended; `ref: false` does not keep a program alive. */
export class Timer {
  #handle: ReturnType<typeof setTimeout> | undefined;

  constructor(delayS: number, done: () => void) {
    const until = performance.now() + delayS * 1000;
    const wait = (): void => {
      const leftMs = until - performance.now();
      if (leftMs <= 0) done();
      else this.#handle = setTimeout(wait, Math.min(leftMs, LONGEST_MS));
    };
    this.#handle = setTimeout(wait, Math.max(0, Math.min(delayS * 1000, LONGEST_MS)));
  }

  stop(): void {
    clearTimeout(this.#handle);
  }
}

/** A promise that is settled from outside. */
export class Signal<T = void> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;

  constructor() {
    this.promise = new Promise((resolve) => (this.resolve = resolve));
  }
}

/** Sleeps, one at a time, and can be woken. */
export class Sleeper {
  #over = new Signal();

  async sleep(delayS: number): Promise<void> {
    const over = (this.#over = new Signal());
    const timer = new Timer(delayS, () => over.resolve());
    await over.promise;
    timer.stop();
  }

  wake(): void {
    this.#over.resolve();
  }
}

/** Delays between attempts to connect: they grow, and are random over their whole length. */
export class Backoff {
  #failed = 0;

  constructor(
    private readonly leastS = 0.25,
    private readonly mostS = 15,
    private readonly random: () => number = Math.random,
  ) {}

  /** Begin anew. */
  succeeded(): void {
    this.#failed = 0;
  }

  nextS(): number {
    const bound = Math.min(this.mostS, this.leastS * 2 ** Math.min(this.#failed, 16));
    this.#failed += 1;
    return this.random() * bound;
  }
}
