// A buffer in a file, under Node.js.
//
// Changes are appended, so they are with the operating system when `write` returns. When most of the file is
// history, a new one takes its place.
import { closeSync, existsSync, fsync, fsyncSync, ftruncateSync, openSync } from "node:fs";
import { readFileSync, realpathSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { BadBuffer, MusterError, words } from "../errors.js";
import { changesLine, header, readJournal, syncedLine, wholeFile, type Journal } from "./journal.js";
import { lockFile, type Release } from "./lock.js";
import type { Change, OpenStorage, Storage } from "./storage.js";

const syncFile = promisify(fsync);

/** A file may have this much history, and as much again as it had when it was last written anew. */
const HISTORY_BYTES = 4 << 20;

/**
 * Open the buffer in a file, which is made where there is none.
 * @throws BufferInUse: another process has it. BadBuffer: it is no buffer, or damaged.
 */
export const openFile: OpenStorage = async (name) => {
  const path = realPath(name);
  const release = await lockFile(path);
  try {
    rmSync(`${path}.new`, { force: true });
    if (!existsSync(path)) replaceFile(path, header());
    const journal = readJournal(readFileSync(path));
    return { storage: new FileStorage(path, journal, release), kept: journal.kept };
  } catch (error) {
    await release();
    throw error instanceof MusterError ? error : new BadBuffer(`${path}: ${words(error)}`, { cause: error });
  }
};

function realPath(name: string): string {
  const path = resolve(name);
  try {
    return existsSync(path) ? realpathSync(path) : join(realpathSync(dirname(path)), basename(path));
  } catch (error) {
    throw new BadBuffer(`${path}: ${words(error)}`, { cause: error });
  }
}

/** Put a whole file in the place of another, so that a power cut leaves one of them. */
function replaceFile(path: string, content: Buffer): void {
  const made = `${path}.new`;
  const file = openSync(made, "w");
  try {
    writeAll(file, content, 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(made, path);
  syncFolder(dirname(path));
}

/** Let a new name survive a power cut, where a folder can be synced. */
function syncFolder(path: string): void {
  try {
    const folder = openSync(path, "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // Windows has no such thing.
  }
}

function writeAll(file: number, content: Buffer, at: number): void {
  for (let done = 0; done < content.length; ) {
    done += writeSync(file, content, done, content.length - done, at + done);
  }
}

class FileStorage implements Storage {
  #file: number;
  #size: number; // what counts; what lies behind it is of a write that failed
  #sizeWhenNew = 0;
  #synced = 0; // so much is on the disk …
  #saidSynced = 0; // … and the file says so
  #isTorn = true; // something may lie behind what counts
  #isUnsure = false; // a sync failed, and the system may have forgotten what it had to write
  #syncing: Promise<void> | undefined;
  #isClosed = false;

  constructor(
    private readonly path: string,
    journal: Journal,
    private readonly release: Release,
  ) {
    this.#file = openSync(path, "r+");
    this.#size = journal.size;
  }

  write(changes: readonly Change[], all: () => readonly Change[]): void {
    if (this.#isClosed) throw new BadBuffer(`${this.path} is closed`);
    const isLong = this.#size > HISTORY_BYTES + 2 * this.#sizeWhenNew;
    if ((isLong || this.#isUnsure) && this.#syncing === undefined) this.#replace(all());
    const line = changesLine(changes);
    const mark = this.#synced > this.#saidSynced ? syncedLine(this.#synced) : Buffer.alloc(0);
    try {
      if (this.#isTorn) ftruncateSync(this.#file, this.#size);
      this.#isTorn = true;
      writeAll(this.#file, Buffer.concat([mark, line]), this.#size);
      this.#isTorn = false;
    } catch (error) {
      throw new BadBuffer(`${this.path}: ${words(error)}`, { cause: error }); // such as a full disk
    }
    this.#size += mark.length + line.length;
    this.#saidSynced = this.#synced;
  }

  /** Write everything anew; where that fails, the old file goes on. */
  #replace(all: readonly Change[]): void {
    const content = wholeFile(all);
    this.#sizeWhenNew = content.length;
    try {
      replaceFile(this.path, content);
    } catch {
      return; // no room: tried again when the file is twice as large
    }
    const file = openSync(this.path, "r+");
    closeSync(this.#file);
    this.#file = file;
    this.#size = this.#synced = content.length;
    this.#saidSynced = 0;
    this.#isTorn = this.#isUnsure = false;
  }

  sync(): Promise<void> {
    // One at a time: who comes while one is under way needs the next one.
    const before = this.#syncing ?? Promise.resolve();
    const own = before.catch(() => undefined).then(() => this.#syncNow());
    this.#syncing = own;
    const done = (): void => {
      if (this.#syncing === own) this.#syncing = undefined;
    };
    own.then(done, done);
    return own;
  }

  async #syncNow(): Promise<void> {
    const size = this.#size;
    if (this.#isUnsure) throw new BadBuffer(`${this.path} could not be written to the disk`);
    if (this.#isClosed || this.#synced === size) return;
    try {
      await syncFile(this.#file);
    } catch (error) {
      this.#isUnsure = true;
      throw new BadBuffer(`${this.path}: ${words(error)}`, { cause: error });
    }
    this.#synced = size;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await this.sync();
    } finally {
      this.#isClosed = true;
      closeSync(this.#file);
      await this.release();
    }
  }
}
