// The sessions of a fleet by id: a map whose copies share what did not change.
//
// A page takes a copy per frame. Copying ten thousand entries each time would cost more than all the rest; here
// a copy costs a list of shards, and a change costs the copy of one shard.

const SHARDS = 256;

function shardOf(id: unknown): number {
  if (typeof id !== "string") return 0; // as a Map, it does not have null, and says so
  let hash = 0x811c9dc5;
  for (let index = 0; index < id.length; index += 1) hash = Math.imul(hash ^ id.charCodeAt(index), 0x01000193);
  return (hash ^ (hash >>> 15)) & (SHARDS - 1);
}

/** A map that does not change; its order has no meaning. */
export class Shards<T> implements ReadonlyMap<string, T> {
  constructor(
    protected readonly shards: Map<string, T>[],
    protected count: number,
  ) {}

  get size(): number {
    return this.count;
  }

  get(id: string): T | undefined {
    return this.shards[shardOf(id)]?.get(id);
  }

  has(id: string): boolean {
    return this.shards[shardOf(id)]?.has(id) === true;
  }

  *entries(): MapIterator<[string, T]> {
    for (const shard of this.shards) yield* shard.entries();
    return undefined;
  }

  *keys(): MapIterator<string> {
    for (const shard of this.shards) yield* shard.keys();
    return undefined;
  }

  *values(): MapIterator<T> {
    for (const shard of this.shards) yield* shard.values();
    return undefined;
  }

  [Symbol.iterator](): MapIterator<[string, T]> {
    return this.entries();
  }

  forEach(call: (value: T, id: string, map: ReadonlyMap<string, T>) => void): void {
    for (const [id, value] of this) call(value, id, this);
  }
}

/** One that changes, and gives copies of itself. */
export class LiveShards<T> extends Shards<T> {
  readonly #isShared: boolean[] = Array.from({ length: SHARDS }, () => false);
  #copy: Shards<T> | undefined;

  constructor() {
    super(
      Array.from({ length: SHARDS }, () => new Map<string, T>()),
      0,
    );
  }

  set(id: string, value: T): void {
    const shard = this.#changing(id);
    this.count -= shard.size;
    shard.set(id, value);
    this.count += shard.size;
  }

  delete(id: string): boolean {
    if (!this.has(id)) return false;
    this.count -= 1;
    return this.#changing(id).delete(id);
  }

  /** Return it as it is now: the same object until it changes. */
  copy(): Shards<T> {
    if (this.#copy === undefined) {
      this.#copy = new Shards([...this.shards], this.count);
      this.#isShared.fill(true);
    }
    return this.#copy;
  }

  /** Whether nothing changed since this copy. */
  isCurrent(copy: unknown): boolean {
    return copy !== undefined && copy === this.#copy;
  }

  #changing(id: string): Map<string, T> {
    const index = shardOf(id);
    if (this.#isShared[index] === true) {
      this.shards[index] = new Map(this.shards[index]);
      this.#isShared[index] = false;
    }
    this.#copy = undefined;
    return this.shards[index] as Map<string, T>;
  }
}

/** Return the known object where a new one says the same, so that what shows it need not be drawn again. */
export function sameIfEqual<T extends object>(known: T | undefined, found: T): T {
  if (known === undefined) return found;
  const names = new Set([...Object.keys(known), ...Object.keys(found)]) as Set<keyof T>;
  for (const name of names) if (known[name] !== found[name]) return found;
  return known;
}
