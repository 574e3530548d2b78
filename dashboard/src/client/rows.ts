// The rows of the fleet: what the service tells of each session, and what we see of it ourselves.
import { shallowRef, triggerRef } from "vue";
import type { Change, FleetState, ListedSession, SampleRow, Summary } from "muster-client";

/** Within about this time the update rate follows a change. */
const RATE_S = 10;
/** What comes within this time is one report: its parts are no measure of how often there is one. */
const REPORT_MS = 500;
/** A rate is told after this time; before, one update more or less would change it too much. */
const LEAST_MS = 1_000;
/** For so long after a snapshot, after a gap, or after something that came late, comes what happened before. */
const CATCH_UP_MS = 1_000;
/** So much later than before comes late: times of devices may be whole seconds. */
const LATE_MS = 2_000;
/** Of the sessions that something came of; where less came late, a device was away, and not the service. */
const MANY_LATE = 0.2;
/** Names of data keys that are offered for columns. */
const MOST_KEYS = 500;

type Samples = Change & { kind: "samples" };
export type Value = readonly [value: unknown, ts: number];

/** What is left of a rate after some time. */
const faded = (ms: number): number => Math.exp(-ms / 1000 / RATE_S);

export class Row {
  summary: Summary;
  rev: number;
  /** For what shows the row: changes whenever the row does. */
  readonly tick = shallowRef(0);
  /** When we last saw it do something, in milliseconds; 0: the summary knows better. */
  seenMs = 0;
  /** By data key, which may have any name. */
  readonly values = new Map<string, Value>();
  #rate = 0;
  #ratedMs = 0; // of the last report
  #gapMs = 0; // before this
  #sinceReport = 0; // updates
  #sinceMs = 0; // updates are counted from then on; 0: they are not yet
  #lagMs = -Infinity; // how late samples came at most, lately, by the clocks of the device and of this page
  #lagAtMs = -Infinity;
  #text: string | undefined;

  constructor(summary: Summary) {
    this.summary = summary;
    this.rev = summary.rev;
  }

  /** Return updates per second, lately; undefined: not known yet. `now` is of a clock that nobody sets. */
  rate(now: number): number | undefined {
    if (this.#sinceMs === 0 || now - this.#sinceMs < LEAST_MS) return undefined;
    const lateMs = Math.max(0, now - this.#ratedMs - this.#gapMs); // it fades where the next samples do not come
    const countedMs = Math.max(LEAST_MS, this.#ratedMs - this.#sinceMs);
    return (this.#rate * faded(lateMs)) / (1 - faded(countedMs)); // as if it had always been so
  }

  /** Return what a free search looks into. */
  get text(): string {
    const { session_id: id, session_name: name } = this.summary;
    return (this.#text ??= `${id}\n${name}`.normalize("NFC").toLowerCase());
  }

  /** Take values that were read at a revision, unless newer ones came by themselves. */
  fill(rev: number, values: Iterable<readonly [key: string, value: Value]>): void {
    for (const [key, value] of values) {
      if (rev < this.rev && this.values.has(key)) continue;
      this.values.set(key, value);
      triggerRef(this.tick);
    }
  }

  tell(summary: Summary): void {
    // What comes later is later, whatever two clocks say of it.
    if (summary.last_activity !== this.summary.last_activity) this.seenMs = 0;
    this.summary = summary;
    this.rev = Math.max(this.rev, summary.rev);
    this.#text = undefined;
    triggerRef(this.tick);
  }

  /** Note samples; return how many updates brought them. `isLate`: these happened before, nobody knows when. */
  note(rev: number, now: number, seenMs: number, isLate = false): number {
    // The first ones may come long after the revision of the summary.
    const updates = this.#isFirst ? 1 : Math.max(0, rev - this.rev);
    this.rev = Math.max(this.rev, rev);
    this.seenMs = seenMs;
    if (this.#isFirst || isLate) {
      [this.#sinceMs, this.#ratedMs] = [now, now];
      [this.#gapMs, this.#rate, this.#sinceReport] = [0, 0, 0];
    } else this.#sinceReport += updates;
    if (now - this.#ratedMs >= REPORT_MS) this.#rateAnew(now);
    triggerRef(this.tick);
    return isLate ? 0 : updates;
  }

  /**
   * Return whether samples waited on their way, and are no measure of what is sent now: they come closer to their
   * times than those before, or more than usual come at once behind a silence. Call it before `note`.
   */
  isLate(rev: number, samples: readonly SampleRow[], now: number, seenMs: number): boolean {
    const lagMs = seenMs - newestMs(samples);
    const agoMs = now - this.#lagAtMs;
    const isCaughtUp = this.#lagMs - lagMs > Math.max(LATE_MS, agoMs); // their times ran twice as fast as ours
    if (lagMs > this.#lagMs || agoMs >= LATE_MS) [this.#lagMs, this.#lagAtMs] = [lagMs, now];
    if (this.#isFirst) return false;
    const isCollected = rev - this.rev > samples.length; // of some keys only the last ones came
    const isSilence = this.#gapMs > 0 && now - this.#ratedMs > LATE_MS + 2 * this.#gapMs;
    return isCaughtUp || (isCollected && isSilence);
  }

  get #isFirst(): boolean {
    return this.#sinceMs === 0;
  }

  /** Count anew from the next samples on, which may follow a gap. */
  begin(summary: Summary): void {
    this.rev = summary.rev; // it goes back where Redis lost data
    this.#sinceMs = 0;
    this.#rate = 0;
    triggerRef(this.tick);
  }

  /** The updates are of all the time since the last report. */
  #rateAnew(now: number): void {
    this.#gapMs = now - this.#ratedMs;
    const rest = faded(this.#gapMs);
    this.#rate = this.#rate * rest + (this.#sinceReport / this.#gapMs) * 1000 * (1 - rest);
    [this.#ratedMs, this.#sinceReport] = [now, 0];
  }
}

/** All rows of what is watched. */
export class Rows {
  readonly byId = new Map<string, Row>();
  /** Data keys that were seen. */
  readonly keys = new Set<string>();
  /** Updates since the beginning, but for those that came late. */
  updates = 0;
  /** From then on every update is counted when it happens; Infinity: not now. */
  countsFrom = 0;
  /** Changes with every summary that came or went. */
  structure = 0;
  #wanted: ReadonlySet<string> = new Set();
  #seen = 0; // sessions that something came of lately
  #late = 0; // of which it came late
  #weighedMs = 0;

  /** Keep the values of these data keys from now on. */
  want(keys: Iterable<string>): void {
    this.#wanted = new Set(keys);
  }

  /** Forget all of it, for somebody else. */
  clear(): void {
    this.byId.clear();
    this.keys.clear();
    this.structure += 1;
  }

  /** Take these sessions for all there are. */
  reset(sessions: ReadonlyMap<string, Summary>): void {
    for (const id of [...this.byId.keys()]) if (!sessions.has(id)) this.byId.delete(id);
    for (const [id, summary] of sessions) {
      this.#tell(id, summary);
      this.byId.get(id)?.begin(summary);
    }
    this.structure += 1;
  }

  /** Take for late what comes within a moment. */
  catchUp(now: number): void {
    if (this.countsFrom !== Infinity) this.countsFrom = now + CATCH_UP_MS;
  }

  apply(changes: readonly Change[], sessions: ReadonlyMap<string, Summary>, now: number, seenMs: number): void {
    const noted = new Map<Row, boolean>();
    for (const change of changes) {
      if (change.kind === "state") this.#follow(change.state, now);
      else if (change.kind === "reset") {
        this.reset(sessions);
        this.catchUp(now);
      } else if (change.kind === "changed") this.#change(change.sessionId, change.summary);
      else if (change.kind === "removed") this.#remove(change.sessionId);
      else if (change.kind === "samples") this.#note(change, now, seenMs, noted);
    }
    this.#weigh(noted, now);
  }

  /** Take values that were asked for. */
  fill(listed: ListedSession): void {
    this.byId.get(listed.session_id)?.fill(listed.rev, valuesOf(listed));
  }

  /** Count nothing where many sessions were late: then it was the service that was held up. */
  #weigh(noted: ReadonlyMap<Row, boolean>, now: number): void {
    const rest = Math.exp((this.#weighedMs - now) / LATE_MS); // one batch has some sessions, the next one others
    const late = [...noted.values()].filter((isLate) => isLate).length;
    this.#seen = this.#seen * rest + noted.size;
    this.#late = this.#late * rest + late;
    this.#weighedMs = now;
    if (late > 0 && this.#late > MANY_LATE * this.#seen) this.catchUp(now);
  }

  #follow(state: FleetState, now: number): void {
    if (state === "offline" || state === "resyncing" || state === "stale") this.countsFrom = Infinity;
    else if (this.countsFrom === Infinity) this.countsFrom = now + CATCH_UP_MS;
  }

  #change(id: string, summary: Summary): void {
    this.#tell(id, summary);
    this.structure += 1;
  }

  #tell(id: string, summary: Summary): void {
    const row = this.byId.get(id);
    if (row === undefined) this.byId.set(id, new Row(summary));
    else row.tell(summary);
  }

  #remove(id: string): void {
    if (this.byId.delete(id)) this.structure += 1;
  }

  /** `noted`: of each row that something came of at once, whether it was late. */
  #note({ sessionId, rev, samples }: Samples, now: number, seenMs: number, noted: Map<Row, boolean>): void {
    const row = this.byId.get(sessionId);
    if (row === undefined) return;
    const isLate = row.isLate(rev, samples, now, seenMs);
    noted.set(row, isLate || noted.get(row) === true);
    this.updates += row.note(rev, now, seenMs, isLate || now < this.countsFrom);
    for (const [key, value, ts] of samples) {
      if (!this.keys.has(key) && this.keys.size < MOST_KEYS) this.keys.add(key);
      if (this.#wanted.has(key)) row.values.set(key, [value, ts]);
    }
  }
}

function newestMs(samples: readonly SampleRow[]): number {
  let newest = -Infinity;
  for (const [, , ts] of samples) newest = Math.max(newest, ts);
  return 1000 * newest;
}

/** Return the values that came with a session of a list. */
export function valuesOf({ values }: ListedSession): [key: string, value: Value][] {
  return Object.entries((values ?? {}) as Record<string, Value & unknown[]>);
}
