// What a device needs of the place that keeps its buffer over restarts.
import type { Sample } from "../device/samples.js";

/** A sample in a buffer; its place grows with every sample, over restarts too. */
export interface Stored {
  readonly place: number;
  readonly sample: Sample;
}

/** An update that has its number: it holds the samples behind the update before it, up to `last`. */
export interface Numbered {
  readonly seq: number;
  readonly last: number;
}

/** What is known of the numbering; written as a whole. */
export interface Numbering {
  /** Names the count of updates. */
  readonly stream: string;
  /** Highest number that was ever given out in this stream. */
  readonly highest: number;
  /** Everything up to this place is settled. */
  readonly settled: number;
  readonly updates: readonly Numbered[];
}

/** What a command came to. */
export type Outcome =
  | { readonly ok: true; readonly result: unknown }
  | { readonly ok: false; readonly error: { readonly code: string; readonly message: string } };

/** A command that a device took. */
export interface Taken {
  readonly id: string;
  readonly name: string;
  readonly params: unknown;
  /** Whether its handler was called. */
  readonly isStarted: boolean;
  readonly outcome: Outcome | null;
  /** Whether the service has the outcome. */
  readonly isReported: boolean;
}

/** A change of what is kept. */
export type Change =
  | { readonly add: readonly Stored[] }
  | { readonly number: Numbering }
  /** Forget samples by place. */
  | { readonly drop: readonly number[] }
  | { readonly command: Taken }
  /** Forget commands by id. */
  | { readonly forget: readonly string[] };

/** Everything that is kept, as it is read at the start. */
export interface Kept {
  /** In the order of their places. */
  readonly samples: readonly Stored[];
  /** undefined: nothing was ever numbered here. */
  readonly numbering: Numbering | undefined;
  /** In the order in which they were taken. */
  readonly commands: readonly Taken[];
}

/**
 * Keeps a buffer over restarts. One device has it at a time: a second one gets `BufferInUse`.
 *
 * `open` of a storage takes the lock and reads; the other methods are called one after the other.
 */
export interface Storage {
  /**
   * Hand changes to the operating system, all or none: a killed program does not lose them.
   * Nothing is returned by a storage that did it at once. `all` returns everything that is kept, for a storage
   * that writes it anew.
   */
  write(changes: readonly Change[], all: () => readonly Change[]): void | Promise<void>;
  /** Return when everything that was written survives a power cut. */
  sync(): Promise<void>;
  /** Write everything, and let go of the lock. */
  close(): Promise<void>;
}

/** Open the storage of a name, and read what it keeps. */
export type OpenStorage = (name: string) => Promise<{ storage: Storage; kept: Kept }>;
