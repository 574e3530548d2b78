import { describe, expect, it } from "vitest";
import { Rows } from "@/client/rows";
import { sessionsOf, summary } from "../summaries";

const START = 1_000_000;
const IDS = ["a", "b", "c", "d"];

/** A fleet whose devices send something twice a second, which a test holds up. */
class Sending {
  readonly rows = new Rows();
  readonly #revs = new Map<string, number>();
  now = START;

  constructor() {
    this.rows.reset(sessionsOf(...IDS.map((id) => summary(id))));
  }

  /** Of some devices so many updates come, of which the newest was measured so long ago. */
  take(ids: readonly string[], updates: number, agoMs = 0, clockMs = 0): void {
    const changes = ids.map((id) => {
      const rev = (this.#revs.get(id) ?? 10) + updates;
      this.#revs.set(id, rev);
      return { kind: "samples", sessionId: id, rev, samples: [["t", 1, (this.now - agoMs + clockMs) / 1000]] };
    });
    this.rows.apply(changes as never, new Map(), this.now, this.now);
  }

  /** All send as usual. */
  run(seconds: number, clockMs = 0): void {
    for (let turn = 0; turn < 2 * seconds; turn += 1) {
      this.now += 500;
      this.take(IDS, 1, 0, clockMs);
    }
  }

  get isCounting(): boolean {
    return this.rows.countsFrom <= this.now;
  }

  get rate(): number | undefined {
    return this.rows.byId.get("a")?.rate(this.now);
  }
}

describe("updates that waited on their way", () => {
  it("are no measure of now where they come all at once behind a silence", () => {
    const sending = new Sending();
    sending.run(5);
    expect([sending.rows.updates, sending.isCounting]).toEqual([40, true]);
    sending.now += 4_000;
    sending.take(IDS, 8);
    expect([sending.rows.updates, sending.isCounting]).toEqual([40, false]);
    sending.run(1);
    expect(sending.isCounting).toBe(true);
    sending.run(3);
    expect(sending.rate).toBeCloseTo(2, 0);
  });

  it("are none while they come one after the other, faster than they were measured", () => {
    const sending = new Sending();
    sending.run(5);
    sending.now += 20_000;
    const before = sending.rows.updates;
    for (const agoMs of [19_500, 15_000, 10_000, 5_000, 0]) {
      sending.now += 200;
      sending.take(IDS, 10, agoMs);
      expect(sending.rate ?? 0).toBeLessThan(3);
    }
    expect(sending.isCounting).toBe(false);
    expect(sending.rows.updates - before).toBeLessThanOrEqual(40); // of the first, nobody knows how late they are
    sending.run(3);
    expect(sending.isCounting).toBe(true);
    sending.run(3);
    expect(sending.rate).toBeCloseTo(2, 0);
  });

  it("are of one device where only that was away: the others are counted as before", () => {
    const sending = new Sending();
    const more = Array.from({ length: 8 }, (_, index) => `e${String(index)}`);
    sending.rows.reset(sessionsOf(...[...IDS, ...more].map((id) => summary(id))));
    for (let turn = 0; turn < 10; turn += 1) {
      sending.now += 500;
      sending.take([...IDS, ...more], 1);
    }
    const before = sending.rows.updates;
    for (let turn = 0; turn < 8; turn += 1) {
      sending.now += 500;
      sending.take([...IDS.slice(1), ...more], 1);
    }
    sending.now += 500;
    sending.take(["a"], 9); // in a batch of its own
    sending.take([...IDS.slice(1), ...more], 1);
    expect(sending.rows.updates - before).toBe(9 * 11);
    expect(sending.rows.byId.get("b")?.rate(sending.now)).toBeCloseTo(2, 0);
  });

  it("are not those of a device that sends seldom, much at once, by a wrong clock or in whole seconds", () => {
    const sending = new Sending();
    for (let turn = 0; turn < 6; turn += 1) {
      sending.now += 10_000;
      sending.take(IDS, 5); // of one key, each time
    }
    expect([sending.rows.updates, sending.isCounting]).toEqual([4 + 5 * 20, true]);
    const skewed = new Sending();
    skewed.run(5, -3_600_000);
    skewed.run(5, -3_601_000); // it was set back a little
    expect([skewed.rows.updates, skewed.isCounting]).toEqual([80, true]);
    const rounded = new Sending();
    for (let turn = 0; turn < 20; turn += 1) {
      rounded.now += 500;
      rounded.take(IDS, 1, rounded.now % 1_000);
    }
    expect([rounded.rows.updates, rounded.isCounting]).toEqual([80, true]);
  });

  it("are none after a clock that was set far, but for a moment", () => {
    const sending = new Sending();
    sending.run(5, -3_600_000);
    sending.run(5, 0);
    expect(sending.isCounting).toBe(true);
    expect(sending.rate).toBeCloseTo(2, 0);
  });

  it("come late after a stale time, too", () => {
    const sending = new Sending();
    sending.run(5);
    sending.rows.apply([{ kind: "state", state: "stale" }], new Map(), sending.now, 0);
    expect(sending.isCounting).toBe(false);
    sending.run(5);
    expect(sending.isCounting).toBe(false);
    sending.rows.apply([{ kind: "state", state: "live" }], new Map(), sending.now, 0);
    sending.run(1);
    expect(sending.isCounting).toBe(true);
  });
});
