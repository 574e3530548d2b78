// Values as devices send them. JavaScript's own numbers round integers beyond 2^53; here these are a `bigint`.
import { formatJson, Num, parseJson, type Json } from "./json";

/** Where a number may be that `JSON.parse` rounds; it may stand in a text after all. */
const LONG = /(?:^|[\s:,[])-?\d{16}/;
const WHOLE = /^-?\d+$/;

/** Read JSON as `JSON.parse` does, but for integers that it would round. */
export function parseExact(text: string): unknown {
  if (!LONG.test(text)) return JSON.parse(text);
  const parsed = parseJson(text, Infinity);
  if (!parsed.ok) throw new SyntaxError(parsed.message);
  return plain(parsed.value);
}

function plain(value: Json): unknown {
  if (value instanceof Num) return numberOf(value.source);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([name, item]) => [name, plain(item)]));
  return value;
}

function numberOf(source: string): number | bigint {
  const number = Number(source);
  return Number.isSafeInteger(number) || !WHOLE.test(source) ? number : BigInt(source);
}

/** Return a value that was read by `parseExact` as JSON; "" of what is no value. */
export function exactJson(value: unknown, indent = 0): string {
  if (value === undefined) return "";
  try {
    return JSON.stringify(value, null, indent);
  } catch {
    return formatJson(jsonOf(value), indent); // there is a bigint in it
  }
}

/** Return the beginning of a value as `exactJson` would write it: all of it, or more than `most` characters. */
export function beginningOfJson(value: unknown, most: number): string {
  if (typeof value === "string") return JSON.stringify(value.slice(0, most));
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return exactJson(value);
  const isList = Array.isArray(value);
  let text = isList ? "[" : "{";
  for (const name in value) {
    if (text.length > most) return text;
    const item = (value as Record<string, unknown>)[name];
    if (item === undefined) continue;
    text += `${text.length > 1 ? "," : ""}${isList ? "" : `${beginningOfJson(name, most)}:`}`;
    text += beginningOfJson(item, Math.max(0, most - text.length + 1));
  }
  return text + (isList ? "]" : "}");
}

function jsonOf(value: unknown): Json {
  if (typeof value === "bigint") return new Num(String(value));
  if (typeof value === "number") return new Num(JSON.stringify(value));
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, item]) => item !== undefined);
    return new Map(members.map(([name, item]) => [name, jsonOf(item)]));
  }
  return value as Json;
}

/** Whether a value is a number, however large. */
export function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}
