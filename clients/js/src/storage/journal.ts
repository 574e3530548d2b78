// Lines of a buffer file: each has a checksum and the changes of one write, so that a write counts as a
// whole or not at all.
import { sample } from "../device/samples.js";
import type { Change, Kept, Numbering, Stored, Taken } from "./storage.js";

const VERSION = 1;
/** Samples in one line where everything is written anew. */
const SAMPLES_PER_LINE = 1000;

type Row = readonly [place: number, key: string, json: string, ts: number];
type Line =
  | { readonly muster: number }
  /** Everything before this byte was on the disk when the line was written. */
  | { readonly synced: number }
  | { readonly changes: readonly (Exclude<Change, { add: unknown }> | { readonly add: readonly Row[] })[] };

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function checksum(bytes: Uint8Array): string {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (sum >>> 8) ^ (TABLE[(sum ^ byte) & 0xff] as number);
  return ((sum ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

function encode(line: Line): Buffer {
  const text = Buffer.from(JSON.stringify(line));
  return Buffer.concat([Buffer.from(`${checksum(text)} `), text, Buffer.from("\n")]);
}

/** Return a line as it was written; undefined: it is none. */
function decode(bytes: Buffer): Line | undefined {
  const text = bytes.subarray(9);
  if (bytes.length < 10 || bytes.toString("latin1", 0, 9) !== `${checksum(text)} `) return undefined;
  return JSON.parse(text.toString()) as Line;
}

/** Return the first line of a file. */
export function header(): Buffer {
  return encode({ muster: VERSION });
}

/** Return the line that says how much is on the disk. */
export function syncedLine(size: number): Buffer {
  return encode({ synced: size });
}

/** Return the line of one write. */
export function changesLine(changes: readonly Change[]): Buffer {
  const shortened = changes.map((change) => ("add" in change ? { add: change.add.map(toRow) } : change));
  return encode({ changes: shortened });
}

function toRow({ place, sample: { key, json, ts } }: Stored): Row {
  return [place, key, json, ts];
}

/** Return a whole file with these changes. */
export function wholeFile(changes: readonly Change[]): Buffer {
  const lines = [header()];
  for (const change of changes) {
    if (!("add" in change)) {
      lines.push(changesLine([change]));
      continue;
    }
    for (let from = 0; from < change.add.length; from += SAMPLES_PER_LINE) {
      lines.push(changesLine([{ add: change.add.slice(from, from + SAMPLES_PER_LINE) }]));
    }
  }
  return Buffer.concat(lines);
}

/** A file as it was read. */
export interface Journal {
  readonly kept: Kept;
  /** Bytes that count; what follows was being written when the power went. */
  readonly size: number;
}

/**
 * Read a file.
 * @throws Error: it is no buffer, or damaged where it was whole before.
 */
export function readJournal(bytes: Buffer): Journal {
  const samples = new Map<number, Stored>();
  const commands = new Map<string, Taken>();
  let numbering: Numbering | undefined;
  let size = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, size)) {
    const line = decode(bytes.subarray(size, end));
    if (line === undefined) break;
    if (size === 0 && !("muster" in line && line.muster === VERSION)) throw new Error("it is no buffer of this version");
    size = end + 1;
    for (const change of "changes" in line ? line.changes : []) {
      if ("add" in change) {
        for (const [place, key, json, ts] of change.add) samples.set(place, { place, sample: sample(key, json, ts) });
      } else if ("number" in change) {
        for (const place of samples.keys()) {
          if (place > change.number.settled) break;
          samples.delete(place);
        }
        numbering = change.number;
      } else if ("drop" in change) {
        for (const place of change.drop) samples.delete(place);
      } else if ("command" in change) {
        commands.set(change.command.id, change.command);
      } else {
        for (const id of change.forget) commands.delete(id);
      }
    }
  }
  if (size === 0) throw new Error("it is no buffer");
  if (wasOnDisk(bytes, size)) throw new Error(`it is damaged at byte ${size}`);
  return { kept: { samples: [...samples.values()], numbering, commands: [...commands.values()] }, size };
}

/** Whether a later line says that the byte where reading ended had been on the disk. */
function wasOnDisk(bytes: Buffer, size: number): boolean {
  for (let start = bytes.indexOf(10, size) + 1; start > 0; start = bytes.indexOf(10, start) + 1) {
    const end = bytes.indexOf(10, start);
    const line = end < 0 ? undefined : decode(bytes.subarray(start, end));
    if (line !== undefined && "synced" in line && line.synced > size) return true;
  }
  return false;
}
