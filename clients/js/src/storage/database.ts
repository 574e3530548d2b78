// A buffer in IndexedDB, in a page or a web worker.
import { sample } from "../device/samples.js";
import { BadBuffer, BufferInUse, MusterError, words } from "../errors.js";
import type { Change, Kept, Numbering, Storage, Taken } from "./storage.js";

const VERSION = 1;
const SAMPLES = "samples";
const COMMANDS = "commands";
const KNOWN = "known";

interface Row {
  readonly place: number;
  readonly key: string;
  readonly json: string;
  readonly ts: number;
}

/** Commands as they are kept: in the order in which they were taken. */
type OrderedCommand = Taken & { readonly order: number };

/** What a page has; tests give their own. */
export interface Platform {
  readonly indexedDB: IDBFactory | null | undefined; // null: this window has none, as in some frames and private ones
  readonly locks: LockManager | null | undefined;
}

/**
 * Open the buffer in a database of this origin.
 * @throws BufferInUse: another tab, or another part of this one, has it. BadBuffer: it cannot be used.
 */
export async function openDatabase(name: string, platform: Platform): Promise<{ storage: Storage; kept: Kept }> {
  const { indexedDB, locks } = platform;
  if (!indexedDB || !locks) {
    throw new BadBuffer(
      "a buffer in a page needs IndexedDB and Web Locks: serve the page over https or from localhost, not to a private window",
    );
  }
  const fullName = `muster-client/${name}`;
  const release = await lock(locks, fullName);
  try {
    const open = (): Promise<Opened> => openNow(indexedDB, fullName);
    const { database } = await open();
    const { kept, orders } = await read(database);
    return { storage: new DatabaseStorage(database, open, orders, release), kept };
  } catch (error) {
    release();
    throw error instanceof MusterError ? error : new BadBuffer(`${fullName}: ${words(error)}`, { cause: error });
  }
}

interface Opened {
  readonly database: IDBDatabase;
  /** Whether there was none before. */
  readonly isNew: boolean;
}

async function openNow(indexedDB: IDBFactory, name: string): Promise<Opened> {
  const opening = indexedDB.open(name, VERSION);
  let isNew = false;
  opening.onupgradeneeded = () => {
    isNew = true;
    opening.result.createObjectStore(SAMPLES, { keyPath: "place" });
    opening.result.createObjectStore(COMMANDS, { keyPath: "id" });
    opening.result.createObjectStore(KNOWN);
  };
  return { database: await result(opening), isNew };
}

/** Take a lock that ends with the page; return what gives it back. */
function lock(locks: LockManager, name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = locks.request(name, { ifAvailable: true }, (given) => {
      if (given === null) {
        reject(new BufferInUse(`${name} is in use: one tab has a buffer at a time`));
        return undefined;
      }
      return new Promise<void>((release) => resolve(() => release()));
    });
    held.catch((error: unknown) => reject(new BadBuffer(`${name}: no lock: ${words(error)}`, { cause: error })));
  });
}

async function read(database: IDBDatabase): Promise<{ kept: Kept; orders: Map<string, number> }> {
  const all = database.transaction([SAMPLES, COMMANDS, KNOWN]);
  const rows = result(all.objectStore(SAMPLES).getAll() as IDBRequest<Row[]>);
  const found = result(all.objectStore(COMMANDS).getAll() as IDBRequest<OrderedCommand[]>);
  const numbering = result(all.objectStore(KNOWN).get("numbering") as IDBRequest<Numbering | undefined>);
  const commands = (await found).sort((one, other) => one.order - other.order);
  return {
    kept: {
      samples: (await rows).map(({ place, key, json, ts }) => ({ place, sample: sample(key, json, ts) })),
      numbering: await numbering,
      commands,
    },
    orders: new Map(commands.map(({ id, order }) => [id, order])),
  };
}

class DatabaseStorage implements Storage {
  #database: IDBDatabase | undefined;
  #order: number;
  #isClosed = false;
  #all: () => readonly Change[] = () => [];

  constructor(
    database: IDBDatabase,
    private readonly open: () => Promise<Opened>,
    private readonly orders: Map<string, number>,
    private readonly release: () => void,
  ) {
    this.#order = Math.max(0, ...orders.values());
    this.#use(database);
  }

  /** Use a connection until a browser closes it, as some do with tabs in the background. */
  #use(database: IDBDatabase): void {
    this.#database = database;
    database.onclose = database.onversionchange = () => this.#forget();
  }

  #forget(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  write(changes: readonly Change[], all: () => readonly Change[]): Promise<void> {
    this.#all = all;
    return this.#transact("relaxed", (stores) => {
      for (const change of changes) this.#apply(change, stores);
    });
  }

  #apply(change: Change, stores: IDBTransaction): void {
    if ("add" in change) {
      const samples = stores.objectStore(SAMPLES);
      for (const { place, sample: one } of change.add) {
        samples.put({ place, key: one.key, json: one.json, ts: one.ts } satisfies Row);
      }
    } else if ("number" in change) {
      stores.objectStore(SAMPLES).delete(IDBKeyRange.upperBound(change.number.settled));
      stores.objectStore(KNOWN).put(change.number, "numbering");
    } else if ("drop" in change) {
      for (const place of change.drop) stores.objectStore(SAMPLES).delete(place);
    } else if ("command" in change) {
      const { id } = change.command;
      if (!this.orders.has(id)) this.orders.set(id, ++this.#order);
      stores.objectStore(COMMANDS).put({ ...change.command, order: this.orders.get(id) });
    } else {
      for (const id of change.forget) {
        this.orders.delete(id);
        stores.objectStore(COMMANDS).delete(id);
      }
    }
  }

  /** A transaction that is on the disk when it is done takes all before it along. */
  sync(): Promise<void> {
    return this.#transact("strict", (stores) => void stores.objectStore(KNOWN).put(Date.now(), "synced"));
  }

  /** Do work in a transaction, once more over a new connection where this one does not do it. */
  async #transact(durability: IDBTransactionDurability, work: (stores: IDBTransaction) => void): Promise<void> {
    if (this.#isClosed) throw new BadBuffer("IndexedDB: the buffer is closed");
    try {
      if (this.#database !== undefined) {
        await transaction(this.#database, durability, work);
        return;
      }
    } catch {
      this.#forget(); // to do the same again does no harm
    }
    try {
      const { database, isNew } = await this.open();
      this.#use(database);
      await transaction(database, durability, (stores) => {
        // Somebody has deleted it meanwhile.
        for (const change of isNew ? this.#all() : []) this.#apply(change, stores);
        work(stores);
      });
    } catch (error) {
      throw new BadBuffer(`IndexedDB: ${words(error)}`, { cause: error }); // such as a full quota
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#forget(); // it waits for what was written
    this.release();
    return Promise.resolve();
  }
}

function transaction(
  database: IDBDatabase,
  durability: IDBTransactionDurability,
  work: (stores: IDBTransaction) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const stores = database.transaction([SAMPLES, COMMANDS, KNOWN], "readwrite", { durability });
    stores.oncomplete = () => resolve();
    stores.onabort = () => reject(stores.error ?? new Error("aborted"));
    work(stores);
  });
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}
