// Where a buffer is kept in a page: in a database of its origin.
import { openDatabase } from "./database.js";
import type { OpenStorage } from "./storage.js";

export const openStorage: OpenStorage = (name) =>
  openDatabase(name, {
    indexedDB: globalThis.indexedDB as IDBFactory | undefined,
    locks: (globalThis.navigator as Navigator | undefined)?.locks as LockManager | undefined,
  });
