// Where samples wait until they are acked, and what a device knows over its restarts.
//
// All of it is in memory; a storage, where there is one, gets every change. An update's number and which
// samples it has are in the storage before it is sent for the first time.
import { BadBuffer } from "../errors.js";
import type { Change, Kept, Numbered, Numbering, Outcome, Storage, Stored, Taken } from "../storage/storage.js";
import { byteLength, type Sample } from "./samples.js";

/** How much a buffer keeps; beyond it the oldest samples without a number go. */
export interface Bounds {
  /** How many samples; 100,000 if left out. */
  samples?: number;
  /** Bytes of their keys and values; 32 MiB if left out. */
  bytes?: number;
  /** Seconds since they were measured; 0, or left out: any. */
  ageS?: number;
}

/** Commands whose outcome is remembered, so that they do not run twice: the service keeps a hundred. */
const KEPT_COMMANDS = 1000;
/** … and the bytes of those that are reported. */
const KEPT_COMMAND_BYTES = 4 << 20;

/** Changes that wait for the write before them. */
interface Waiting {
  readonly changes: readonly Change[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

const NOTHING: Kept = { samples: [], numbering: undefined, commands: [] };

/** Return the name of a stream that nobody has used. */
export function newStream(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What a device has to send, and what it knows of its commands. */
export class Buffer {
  /** Names the count of updates; new when the device cannot go on with the old count. */
  stream: string;
  /** Whether nothing was ever numbered here. */
  isNew: boolean;
  /** Highest number that was ever given out in this stream. */
  highest: number;
  /** Whether a sync has something to do. */
  isUnsynced = false;
  #isClosed = false;
  #samples: Stored[];
  #first = 0; // samples before this index are gone; cut off now and then
  #bytes = 0;
  #place: number;
  #settled: number;
  #numbered: readonly Numbered[];
  #numberedTimes = 0; // how often numbers were given …
  #keptTimes = 0; // … and how many of these are in the storage
  readonly #commands: Map<string, Taken>;
  #commandBytes = 0;
  #pending: Change[] = []; // changes that are in memory and not yet in the storage
  #isWriting = false;
  #writing: Promise<void> = Promise.resolve(); // the storage's writes, until none waits
  readonly #queue: Waiting[] = [];
  readonly #bounds: Required<Bounds>;
  readonly #storage: Storage | undefined;

  constructor(bounds: Bounds = {}, storage?: Storage, kept: Kept = NOTHING) {
    this.#bounds = { samples: bounds.samples ?? 100_000, bytes: bounds.bytes ?? 32 << 20, ageS: bounds.ageS ?? 0 };
    this.#storage = storage;
    const known = kept.numbering;
    this.isNew = known === undefined;
    this.stream = known?.stream ?? newStream();
    this.highest = known?.highest ?? 0;
    this.#settled = known?.settled ?? 0;
    this.#numbered = known?.updates ?? [];
    this.#samples = kept.samples.filter((one) => one.place > this.#settled);
    this.#place = Math.max(this.#settled, kept.samples.at(-1)?.place ?? 0, this.#numbered.at(-1)?.last ?? 0);
    for (const one of this.#samples) this.#bytes += one.sample.size;
    this.#commands = new Map(kept.commands.map((one) => [one.id, one]));
    for (const one of this.#commands.values()) this.#commandBytes += commandBytes(one);
  }

  /** How many samples are kept. */
  get length(): number {
    return this.#samples.length - this.#first;
  }

  /**
   * Keep samples; return how many others had to go. A promise where the storage takes its time.
   * @throws BadBuffer: the storage did not take them; nothing is changed.
   */
  add(samples: readonly Sample[]): number | Promise<number> {
    if (this.#isClosed) throw new BadBuffer("the buffer is closed: the device was stopped");
    const added = samples.map((one): Stored => ({ place: ++this.#place, sample: one }));
    const written = this.#write([{ add: added }]);
    const keep = (): number => {
      for (const one of added) {
        this.#samples.push(one);
        this.#bytes += one.sample.size;
      }
      return this.#trim();
    };
    return written === undefined ? keep() : written.then(keep);
  }

  #trim(): number {
    const { samples, bytes, ageS } = this.#bounds;
    const keptFrom = ageS > 0 ? Date.now() / 1000 - ageS : -Infinity;
    const fixed = this.#fixedUpto();
    const gone: number[] = [];
    let index = fixed;
    for (; index < this.#samples.length; index += 1) {
      const { place, sample } = this.#samples[index] as Stored;
      const isOver = this.length - gone.length > samples || this.#bytes > bytes;
      if (!isOver && sample.ts >= keptFrom) break;
      gone.push(place);
      this.#bytes -= sample.size;
    }
    if (gone.length > 0) {
      if (fixed === this.#first) this.#cut(index);
      else this.#samples.splice(fixed, gone.length);
      this.#later({ drop: gone });
    }
    return gone.length;
  }

  /** Return the index behind the samples that have a number: they come first, and stay. */
  #fixedUpto(): number {
    const last = this.#numbered.at(-1)?.last ?? 0;
    return this.#indexBehind(last);
  }

  #indexBehind(place: number): number {
    let low = this.#first;
    let high = this.#samples.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#samples[middle] as Stored).place > place) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Forget the samples before an index. */
  #cut(index: number): void {
    this.#first = index;
    if (index > 1000 && index > this.#samples.length / 2) {
      this.#samples.splice(0, index);
      this.#first = 0;
    }
  }

  /** The updates that have a number and are not settled, in order. */
  get numbered(): readonly Numbered[] {
    return this.#numbered;
  }

  /** Return samples behind a place, oldest first. */
  samples(after: number, limit: number): Stored[] {
    const from = this.#indexBehind(after);
    return this.#samples.slice(from, from + limit);
  }

  /** Set the updates that have a number; nothing of them may be sent before `keepNumbers` is done. */
  number(updates: readonly Numbered[], highest: number, stream: string): void {
    this.#numbered = updates;
    this.highest = highest;
    this.stream = stream;
    this.isNew = false;
    this.#numberedTimes += 1;
  }

  /** Whether the numbers are where they survive whatever happens. */
  get areNumbersKept(): boolean {
    return this.#keptTimes === this.#numberedTimes;
  }

  /**
   * Bring the numbers where they survive whatever happens.
   * @throws BadBuffer: the storage did not take them.
   */
  async keepNumbers(): Promise<void> {
    const times = this.#numberedTimes;
    await this.#write([{ number: this.#numbering() }]);
    await this.sync();
    this.#keptTimes = times;
  }

  #numbering(): Numbering {
    return { stream: this.stream, highest: this.highest, settled: this.#settled, updates: this.#numbered };
  }

  /** Forget samples up to a place, and set the updates that are left. */
  settle(last: number, updates: readonly Numbered[]): void {
    const end = this.#indexBehind(last);
    for (let index = this.#first; index < end; index += 1) this.#bytes -= (this.#samples[index] as Stored).sample.size;
    this.#cut(end);
    this.#settled = last;
    this.#numbered = updates;
    this.#later({ number: this.#numbering() });
  }

  /** Forget one sample. */
  drop(place: number): void {
    const index = this.#indexBehind(place - 1);
    const found = this.#samples[index];
    if (found?.place !== place) return;
    this.#bytes -= found.sample.size;
    this.#samples.splice(index, 1);
    this.#later({ drop: [place] });
  }

  /** Return what a command came to, if it was taken. */
  command(id: string): Taken | undefined {
    return this.#commands.get(id);
  }

  /** Note a command that will be run; it survives whatever happens when this is done. */
  async taken(id: string, name: string, params: unknown): Promise<void> {
    try {
      await this.#note({ id, name, params, isStarted: false, outcome: null, isReported: false });
    } catch (error) {
      this.#commands.delete(id);
      throw error;
    }
  }

  /** Note that its handler is about to be called. */
  started(id: string): Promise<void> {
    const known = this.#commands.get(id);
    return known === undefined ? Promise.resolve() : this.#note({ ...known, isStarted: true });
  }

  /** Note what a command came to; its parameters are not needed any more. */
  ended(id: string, outcome: Outcome): Promise<void> {
    const known = this.#commands.get(id);
    return known === undefined ? Promise.resolve() : this.#note({ ...known, params: null, outcome });
  }

  /** Note that the service has the outcome of a command. */
  reported(id: string): void {
    const known = this.#commands.get(id);
    if (known !== undefined) this.#later({ command: this.#remember({ ...known, isReported: true }) });
  }

  /** Return commands that were taken and whose outcome the service does not have, in order. */
  unreported(): Taken[] {
    return [...this.#commands.values()].filter((one) => !one.isReported);
  }

  async #note(command: Taken): Promise<void> {
    await this.#write([{ command: this.#remember(command) }]);
    await this.sync();
  }

  #remember(command: Taken): Taken {
    const before = this.#commands.get(command.id);
    this.#commandBytes += commandBytes(command) - (before === undefined ? 0 : commandBytes(before));
    this.#commands.set(command.id, command);
    const forgotten: string[] = [];
    for (const [id, one] of this.#commands) {
      if (this.#commands.size <= KEPT_COMMANDS && this.#commandBytes <= KEPT_COMMAND_BYTES) break;
      if (!one.isReported) continue;
      this.#commands.delete(id);
      this.#commandBytes -= commandBytes(one);
      forgotten.push(id);
    }
    if (forgotten.length > 0) this.#pending.push({ forget: forgotten });
    return command;
  }

  /** Return when what was kept survives a power cut. */
  async sync(): Promise<void> {
    if (this.#storage === undefined) return;
    this.isUnsynced = false; // what comes from here on sets it again
    try {
      await this.#writing;
      await this.#storage.sync();
    } catch (error) {
      this.isUnsynced = true;
      throw error;
    }
  }

  /** Write everything, and let go of the storage. */
  async close(): Promise<void> {
    this.#isClosed = true;
    try {
      await this.#write([]);
      await this.#writing;
    } finally {
      await this.#storage?.close();
    }
  }

  /** Write a change when it suits; where that fails, it is written with the next one. */
  #later(change: Change): void {
    if (this.#storage === undefined) return;
    this.#pending.push(change);
    try {
      void this.#write([])?.catch(() => undefined);
    } catch {
      // It stays pending.
    }
  }

  /**
   * Write what is pending, and changes behind it; these are withdrawn where it fails.
   * One write is under way at a time: what comes meanwhile is the next one.
   */
  #write(changes: readonly Change[]): Promise<void> | undefined {
    if (this.#storage === undefined) return undefined;
    this.isUnsynced = true;
    if (this.#isWriting) {
      return new Promise((resolve, reject) => this.#queue.push({ changes, resolve, reject }));
    }
    if (this.#pending.length + changes.length === 0) return undefined;
    const done = this.#storage.write([...this.#pending, ...changes], this.#all);
    const taken = this.#pending.splice(0);
    if (done !== undefined) {
      this.#isWriting = true;
      this.#writing = this.#writeQueue(done, taken);
    }
    return done ?? undefined;
  }

  /** Return what makes a storage that is empty have everything. */
  readonly #all = (): Change[] => [
    { add: this.#samples.slice(this.#first) },
    ...(this.isNew ? [] : [{ number: this.#numbering() }]),
    ...[...this.#commands.values()].map((command) => ({ command })),
  ];

  async #writeQueue(first: Promise<void>, taken: Change[]): Promise<void> {
    await first.catch(() => this.#pending.unshift(...taken));
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0);
      const pending = this.#pending.splice(0);
      try {
        await this.#storage?.write([...pending, ...batch.flatMap((one) => one.changes)], this.#all);
        for (const one of batch) one.resolve();
      } catch (error) {
        this.#pending.unshift(...pending);
        for (const one of batch) one.reject(error);
      }
    }
    this.#isWriting = false;
  }
}

function commandBytes(command: Taken): number {
  return byteLength(JSON.stringify([command.params ?? null, command.outcome])) + command.name.length + 100;
}
