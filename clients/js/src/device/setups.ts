// Setups of a device: applied one at a time, and reported as running until the service knows.
import { seconds } from "../errors.js";
import { Timer } from "../time.js";
import type { Ask } from "./commands.js";

/** Applies a setup; if it does not fail, the version is reported as running. */
export type SetupHandler = (setup: any, version: number) => unknown;

interface Setup {
  readonly setup: unknown;
  readonly version: number;
}

/** Applies the newest setup; those that it overtook are left out. */
export class Setups {
  handler: SetupHandler | undefined;
  #seen = 0; // newest version of this connection
  #newest: Setup | undefined;
  #applied: (Setup & { text: string }) | undefined;
  #isApplying = false;

  constructor(
    private readonly deviceId: string,
    private readonly ask: Ask,
  ) {}

  /** Take what the ack of a `register` says: it counts, whatever was known before. */
  registered(setup: unknown, version: number): void {
    this.#seen = version;
    this.#offer({ setup, version });
  }

  /** Take a change; one that an earlier change overtook is ignored. */
  changed(setup: unknown, version: number): void {
    if (!(version > this.#seen)) return;
    this.#seen = version;
    this.#offer({ setup, version });
  }

  #offer(given: Setup): void {
    if (this.handler === undefined || !(given.version > 0)) return;
    this.#newest = given;
    if (!this.#isApplying) void this.#apply();
  }

  async #apply(): Promise<void> {
    this.#isApplying = true;
    while (this.#newest !== undefined) {
      const next = this.#newest;
      this.#newest = undefined;
      const text = JSON.stringify(next.setup);
      const isRunning = this.#applied?.version === next.version && this.#applied.text === text;
      // One that failed is tried again after the next `register`.
      if (isRunning || (await this.#run(next))) {
        this.#applied = { ...next, text };
        void this.#report(next.version);
      }
    }
    this.#isApplying = false;
  }

  async #run({ setup, version }: Setup): Promise<boolean> {
    try {
      await this.handler?.(setup, version);
      return true;
    } catch (error) {
      console.error(`muster-client: ${this.deviceId}: setup ${version} could not be applied`, error);
      return false;
    }
  }

  async #report(version: number): Promise<void> {
    if (this.#applied?.version !== version) return;
    try {
      const { error } = await this.ask("update_setup", { reported_version: version });
      if (error?.retryable === true) {
        new Timer(Math.max(0.25, seconds(error.retry_after_s) ?? 1), () => void this.#report(version));
      }
    } catch {
      // The connection ended; the next one reports it again.
    }
  }
}
