// JSON as it was written: numbers keep their digits, members their order.
//
// `JSON.parse` would round integers beyond 2^53 and make 1 of 1.0, and saving would then change what nobody edited.

import { escapeHidden } from "./hidden";

/** A number by its digits. */
export class Num {
  constructor(readonly source: string) {}
}

export type JsonObject = Map<string, Json>;
export type Json = null | boolean | string | Num | Json[] | JsonObject;

export type Parsed =
  /** `repeated`: members that come twice; the last one counts. */
  | { readonly ok: true; readonly value: Json; readonly repeated: string[] }
  | { readonly ok: false; readonly message: string; readonly line: number; readonly column: number };

/** Levels of objects and arrays that the service takes. */
export const DEPTH_LIMIT = 32;

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// eslint-disable-next-line no-control-regex -- JSON forbids them
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

class Wrong extends Error {
  constructor(
    message: string,
    readonly at: number,
  ) {
    super(message);
  }
}

class Reader {
  #at = 0;
  #depth = 0;
  readonly repeated: string[] = [];

  constructor(
    private readonly text: string,
    private readonly most: number,
  ) {}

  whole(): Json {
    const value = this.#value();
    if (this.#at < this.text.length)
      throw new Wrong(`nothing may follow the value, but ${this.#found()} does`, this.#at);
    return value;
  }

  #value(): Json {
    this.#take(SPACE);
    const value = this.#bare();
    this.#take(SPACE);
    return value;
  }

  #bare(): Json {
    const first = this.text[this.#at];
    if (first === "{") return this.#nested(() => this.#object());
    if (first === "[") return this.#nested(() => this.#array());
    if (first === '"') return this.#string();
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null],
    ] as const) {
      if (this.text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const digits = this.#take(NUMBER);
    if (digits === undefined) throw new Wrong(`a value is missing; ${this.#found()} is none`, this.#at);
    return new Num(digits);
  }

  #nested<T extends Json>(read: () => T): T {
    if (this.#depth === this.most) throw new Wrong(`there are more than ${this.most} levels`, this.#at);
    this.#depth += 1;
    this.#at += 1;
    const value = read();
    this.#depth -= 1;
    return value;
  }

  #object(): JsonObject {
    const members: JsonObject = new Map();
    if (this.#ends("}")) return members;
    do {
      this.#take(SPACE);
      if (this.text[this.#at] !== '"')
        throw new Wrong(`a name in double quotes is missing; ${this.#found()} is none`, this.#at);
      const name = this.#string();
      this.#take(SPACE);
      if (!this.#skip(":")) throw new Wrong(`":" is missing before ${this.#found()}`, this.#at);
      if (members.has(name)) this.repeated.push(name);
      members.set(name, this.#value());
    } while (this.#skip(","));
    if (!this.#skip("}")) throw new Wrong(`"," or "}" is missing before ${this.#found()}`, this.#at);
    return members;
  }

  #array(): Json[] {
    const items: Json[] = [];
    if (this.#ends("]")) return items;
    do items.push(this.#value());
    while (this.#skip(","));
    if (!this.#skip("]")) throw new Wrong(`"," or "]" is missing before ${this.#found()}`, this.#at);
    return items;
  }

  #string(): string {
    const begin = this.#at;
    const source = this.#take(STRING);
    if (source === undefined) throw new Wrong("this text does not end, or has a character that must be escaped", begin);
    return JSON.parse(source) as string;
  }

  #ends(mark: string): boolean {
    this.#take(SPACE);
    return this.#skip(mark);
  }

  #skip(mark: string): boolean {
    if (this.text[this.#at] !== mark) return false;
    this.#at += 1;
    return true;
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #found(): string {
    const character = this.text.codePointAt(this.#at);
    return character === undefined ? "the end" : JSON.stringify(String.fromCodePoint(character));
  }
}

/** Read a text as JSON; say where it is wrong. */
export function parseJson(text: string, levels = DEPTH_LIMIT): Parsed {
  const reader = new Reader(text, levels);
  try {
    return { ok: true, value: reader.whole(), repeated: reader.repeated };
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    const before = text.slice(0, error.at).split("\n");
    return { ok: false, message: error.message, line: before.length, column: (before.at(-1) ?? "").length + 1 };
  }
}

/** Return the text of a value; `indent` 0: in one line. */
export function formatJson(value: Json, indent = 2): string {
  return format(value, indent, "\n");
}

function format(value: Json, indent: number, line: string): string {
  if (value instanceof Num) return value.source;
  if (typeof value === "string") return quoted(value);
  if (value === null || typeof value !== "object") return String(value);
  const inner = line + " ".repeat(indent);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const items = Array.isArray(value)
    ? value.map((item) => format(item, indent, inner))
    : [...value].map(
        ([name, item]) => `${quoted(name)}:${indent > 0 ? " " : ""}${format(item, indent, inner)}`,
      );
  if (items.length === 0) return `${open}${close}`;
  const between = indent > 0 ? inner : "";
  return `${open}${between}${items.join(`,${between}`)}${indent > 0 ? line : ""}${close}`;
}

/** An editor shows a text as it is: what turns it, or cannot be seen, would not be found in there. */
const quoted = (text: string): string => escapeHidden(JSON.stringify(text));

/** Whether two values say the same; the order of members does not matter. */
export function isSame(one: Json | undefined, other: Json | undefined): boolean {
  if (one === other) return true;
  if (one instanceof Num) return other instanceof Num && one.source === other.source;
  if (Array.isArray(one)) {
    return (
      Array.isArray(other) && one.length === other.length && one.every((item, index) => isSame(item, other[index]))
    );
  }
  if (!(one instanceof Map) || !(other instanceof Map) || one.size !== other.size) return false;
  return [...one].every(([name, item]) => other.has(name) && isSame(item, other.get(name)));
}
