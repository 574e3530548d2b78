// One process per file, under Node.js: locks that the kernel releases with the process, however it ends.
import { createHash } from "node:crypto";
import { closeSync, constants, openSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { basename, dirname } from "node:path";
import { BadBuffer, BufferInUse, words } from "../errors.js";

/** Opens a file only if nobody else has it open so: macOS and the BSDs. */
const O_EXLOCK = 0x20;

/** Gives a lock back. */
export type Release = () => Promise<void>;

/**
 * Take the lock of a file, which need not exist.
 * @throws BufferInUse: another process, or another part of this one, has it.
 */
export function lockFile(path: string): Promise<Release> {
  const { platform } = process;
  if (platform === "linux" || platform === "android") return lockName(`\0muster-client/${identity(path)}`, path);
  if (platform === "win32") return lockName(`\\\\.\\pipe\\muster-client-${identity(path)}`, path);
  return lockBeside(path);
}

/** Return what names a file in the same way for everybody who reaches it. */
function identity(path: string): string {
  const folder = statSync(dirname(path), { bigint: true });
  return createHash("sha256").update(`${folder.dev}:${folder.ino}/${basename(path)}`).digest("hex").slice(0, 32);
}

/** Listen at a name that is no file: one process can, and it ends with the process. */
function lockName(name: string, path: string): Promise<Release> {
  return new Promise((resolve, reject) => {
    const server = createServer((stranger) => stranger.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(error.code === "EADDRINUSE" ? inUse(path) : new BadBuffer(`${path}: no lock: ${error.message}`));
    });
    // `exclusive`: workers of Node's cluster would share it.
    server.listen({ path: name, exclusive: true }, () => {
      server.unref();
      resolve(() => new Promise((done) => server.close(() => done())));
    });
  });
}

async function lockBeside(path: string): Promise<Release> {
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK;
  try {
    const file = openSync(`${path}.lock`, flags);
    return () => Promise.resolve(closeSync(file));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EAGAIN" || code === "EWOULDBLOCK") throw inUse(path);
    throw new BadBuffer(`${path}: no lock: ${words(error)}`, { cause: error });
  }
}

function inUse(path: string): BufferInUse {
  return new BufferInUse(`${path} is in use: one process has a buffer at a time`);
}
