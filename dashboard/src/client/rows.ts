// The rows of the fleet: what the service tells of each session, and what we see of it ourselves.
import type { Change, ListedSession, SampleRow, Summary } from "muster-client";

/** Within about this time the update rate follows a change. */
const RATE_S = 10;
/** Names of data keys that are offered for columns. */
const MOST_KEYS = 500;

export type Value = readonly [value: unknown, ts: number];

export class Row {
  summary: Summary;
  rev: number;
  /** When we last saw it do something, in milliseconds; 0: the summary knows better. */
  seenMs = 0;
  values: Record<string, Value> = {};
  #rate = 0;
  #ratedMs = 0;
  #sinceMs = 0; // of the first samples that we saw
  #text: string | undefined;

  constructor(summary: Summary) {
    this.summary = summary;
    this.rev = summary.rev;
  }

  /** Return updates per second, lately; `now` is of a clock that nobody sets. */
  rate(now: number): number {
    const ageS = Math.max(1, (now - this.#sinceMs) / 1000);
    return this.#faded(now) / (1 - Math.exp(-ageS / RATE_S)); // as if it had always been so
  }

  /** Return what a free search looks into. */
  get text(): string {
    const { session_id: id, session_name: name } = this.summary;
    return (this.#text ??= `${id}\n${name}`.normalize("NFC").toLowerCase());
  }

  tell(summary: Summary): void {
    // What comes later is later, whatever two clocks say of it.
    if (summary.last_activity !== this.summary.last_activity) this.seenMs = 0;
    this.summary = summary;
    this.rev = Math.max(this.rev, summary.rev);
    this.#text = undefined;
  }

  /** Note samples; return how many updates brought them. */
  note(rev: number, now: number, seenMs: number): number {
    // The first ones may come long after the revision of the summary.
    const updates = this.#sinceMs === 0 ? 1 : Math.max(0, rev - this.rev);
    if (this.#sinceMs === 0) this.#sinceMs = now;
    this.rev = Math.max(this.rev, rev);
    this.#rate = this.#faded(now) + updates / RATE_S;
    this.#ratedMs = now;
    this.seenMs = seenMs;
    return updates;
  }

  /** Count anew from the next samples on, which may follow a gap. */
  begin(summary: Summary): void {
    this.rev = summary.rev; // it goes back where Redis lost data
    this.#sinceMs = 0;
    this.#rate = 0;
  }

  #faded(now: number): number {
    return this.#rate * Math.exp(-Math.max(0, now - this.#ratedMs) / 1000 / RATE_S);
  }
}

/** All rows of what is watched. */
export class Rows {
  readonly byId = new Map<string, Row>();
  /** Data keys that were seen. */
  readonly keys = new Set<string>();
  /** Updates since the beginning. */
  updates = 0;
  /** Changes with every summary that came or went. */
  structure = 0;
  #wanted: ReadonlySet<string> = new Set();

  /** Keep the values of these data keys from now on. */
  want(keys: Iterable<string>): void {
    this.#wanted = new Set(keys);
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

  apply(changes: readonly Change[], sessions: ReadonlyMap<string, Summary>, now: number, seenMs: number): void {
    for (const change of changes) {
      if (change.kind === "reset") this.reset(sessions);
      else if (change.kind === "changed") this.#change(change.sessionId, change.summary);
      else if (change.kind === "removed") this.#remove(change.sessionId);
      else if (change.kind === "samples") this.#note(change.sessionId, change.rev, change.samples, now, seenMs);
    }
  }

  /** Take values that were asked for, unless newer ones came by themselves. */
  fill({ session_id: id, rev, values: found }: ListedSession): void {
    const row = this.byId.get(id);
    if (row === undefined || !found) return;
    const values = found as Record<string, Value & unknown[]>;
    row.values = rev >= row.rev ? { ...row.values, ...values } : { ...values, ...row.values };
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

  #note(id: string, rev: number, samples: readonly SampleRow[], now: number, seenMs: number): void {
    const row = this.byId.get(id);
    if (row === undefined) return;
    this.updates += row.note(rev, now, seenMs);
    for (const [key, value, ts] of samples) {
      if (!this.keys.has(key) && this.keys.size < MOST_KEYS) this.keys.add(key);
      if (this.#wanted.has(key)) row.values[key] = [value, ts];
    }
  }
}
