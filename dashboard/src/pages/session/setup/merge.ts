// Two people changed one setup: their changes are joined, and where both changed the same place somebody has to choose.
import { isSame, type Json, type JsonObject } from "@/client/json";

export type Path = readonly (string | number)[];

/** A place that both sides changed, each to something else; undefined: it is not there. */
export interface Clash {
  readonly path: Path;
  readonly base: Json | undefined;
  readonly mine: Json | undefined;
  readonly theirs: Json | undefined;
}

export interface Merged {
  /** With mine in each clash, until it is settled. */
  readonly value: Json | undefined;
  readonly clashes: readonly Clash[];
}

/** Join what changed from `base` to `mine` and to `theirs`. */
export function merge(base: Json | undefined, mine: Json | undefined, theirs: Json | undefined): Merged {
  const clashes: Clash[] = [];
  return { value: join(base, mine, theirs, [], clashes), clashes };
}

function join(
  base: Json | undefined,
  mine: Json | undefined,
  theirs: Json | undefined,
  path: Path,
  clashes: Clash[],
): Json | undefined {
  if (isSame(mine, theirs) || isSame(base, theirs)) return mine;
  if (isSame(base, mine)) return theirs;
  if (mine instanceof Map && theirs instanceof Map) {
    return joinMembers(base instanceof Map ? base : new Map<string, Json>(), mine, theirs, path, clashes);
  }
  if (Array.isArray(base) && Array.isArray(mine) && Array.isArray(theirs)) {
    // Items have no names: only where none was added or removed is it clear which one is which.
    if (base.length === mine.length && base.length === theirs.length) {
      return mine.map((item, index) => join(base[index], item, theirs[index], [...path, index], clashes) as Json);
    }
  }
  clashes.push({ path, base, mine, theirs });
  return mine;
}

function joinMembers(base: JsonObject, mine: JsonObject, theirs: JsonObject, path: Path, clashes: Clash[]): JsonObject {
  const joined: JsonObject = new Map();
  for (const name of new Set([...theirs.keys(), ...mine.keys()])) {
    const value = join(base.get(name), mine.get(name), theirs.get(name), [...path, name], clashes);
    if (value !== undefined) joined.set(name, value);
  }
  return joined;
}

/** Return a copy with `item` at a place; undefined takes a member away. */
export function withItem(value: Json | undefined, path: Path, item: Json | undefined): Json | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return item;
  if (Array.isArray(value)) {
    return value.map((one, index) => (index === first ? (withItem(one, rest, item) as Json) : one));
  }
  const members: JsonObject = new Map(value instanceof Map ? value : []);
  const changed = withItem(members.get(String(first)), rest, item);
  if (changed === undefined) members.delete(String(first));
  else members.set(String(first), changed);
  return members;
}

/** Return a place as a JSON Pointer (RFC 6901). */
export function pointer(path: Path): string {
  return path.map((part) => `/${String(part).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}
