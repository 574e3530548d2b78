// What a sample may be: checked here, so that a bad one throws where it is made.
import { InvalidSample } from "../errors.js";
import { NAME } from "../event_types.js";

// Limits of the service, as docs/protocol.md has them.
const MAX_KEY_BYTES = 256;
const MAX_DEPTH = 32;
const MAX_VALUE_BYTES = 64 * 1024;
const MAX_TS_S = 253_402_300_799;
const LARGEST_INTEGER = 2 ** 64;
const SMALLEST_INTEGER = -(2 ** 63);
/** From here on JSON.stringify writes a number with an exponent, which is no integer to the service. */
const EXPONENT_FROM = 1e21;

const LONE_SURROGATE = /\p{Surrogate}/u;

/** Any value of JSON. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A sample that the service will take. */
export interface Sample {
  readonly key: string;
  /** Its value as JSON. */
  readonly json: string;
  /** When it was measured, seconds since 1970. */
  readonly ts: number;
  /** Bytes that it takes in a message, at most. */
  readonly size: number;
}

const encoder = new TextEncoder();

/** Return how many bytes a text has in UTF-8. */
export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** Return a sample whose key and value were checked before. */
export function sample(key: string, json: string, ts: number): Sample {
  return { key, json, ts, size: key.length * 4 + byteLength(json) + 40 };
}

/**
 * Return values as samples of one moment.
 * @throws InvalidSample: the service would never take it; says which key and why.
 */
export function checkSamples(values: Readonly<Record<string, unknown>>, ts: number): Sample[] {
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    throw new InvalidSample("give an object with a value for each key");
  }
  const entries = Object.entries(values);
  if (entries.length === 0) throw new InvalidSample("there is nothing to send: give at least one key and value");
  if (typeof ts !== "number" || !(ts >= 0 && ts <= MAX_TS_S)) {
    throw new InvalidSample(`ts ${String(ts)} is no time in seconds since 1970`);
  }
  return entries.map(([key, value]) => sample(checkKey(key), checkValue(key, value), ts));
}

function checkKey(key: string): string {
  const size = byteLength(key);
  const shown = JSON.stringify(key);
  if (size < 1 || size > MAX_KEY_BYTES) {
    throw new InvalidSample(`the key ${shown} has ${size} bytes; 1 to ${MAX_KEY_BYTES} are allowed`);
  }
  if (!NAME.test(key) || LONE_SURROGATE.test(key)) {
    throw new InvalidSample(`the key ${shown} has a character that is invisible, a control or half of one`);
  }
  return key;
}

function checkValue(key: string, value: unknown): string {
  checkJson(key, value, 0);
  const text = JSON.stringify(value);
  const size = byteLength(text);
  if (size > MAX_VALUE_BYTES) {
    throw new InvalidSample(`${key}: the value has ${size} bytes; ${MAX_VALUE_BYTES} are allowed`);
  }
  return text;
}

/** Check a value; what JSON.stringify would leave out or turn into something else is refused. */
function checkJson(key: string, value: unknown, depth: number): void {
  if (value === null || typeof value === "boolean") return;
  if (typeof value === "string") {
    checkText(key, value);
  } else if (typeof value === "number") {
    checkNumber(key, value);
  } else if (typeof value === "object") {
    checkContainer(key, value, depth + 1);
  } else {
    throw new InvalidSample(`${key}: JSON has no ${typeof value}`);
  }
}

function checkText(key: string, text: string): void {
  if (LONE_SURROGATE.test(text)) throw new InvalidSample(`${key}: the value has half a character (a lone surrogate)`);
}

function checkNumber(key: string, value: number): void {
  if (!Number.isFinite(value)) throw new InvalidSample(`${key}: JSON has no ${value}`);
  const isWritten = Number.isInteger(value) && Math.abs(value) < EXPONENT_FROM;
  if (isWritten && (value >= LARGEST_INTEGER || value < SMALLEST_INTEGER)) {
    throw new InvalidSample(`${key}: the integer ${value} has more than 64 bits; send it as text`);
  }
}

function checkContainer(key: string, value: object, depth: number): void {
  if (depth > MAX_DEPTH) {
    throw new InvalidSample(`${key}: objects and arrays are deeper than ${MAX_DEPTH} levels`);
  }
  if (Array.isArray(value)) {
    for (const item of value) checkJson(key, item, depth); // holes too: they are undefined
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null;
  if (!isPlain || "toJSON" in value) {
    throw new InvalidSample(`${key}: JSON has no ${value.constructor?.name ?? "such object"}`);
  }
  for (const [name, item] of Object.entries(value)) {
    checkText(key, name);
    checkJson(key, item, depth);
  }
}

/** Return a sample as `update_data` takes it, its time corrected. */
export function row(one: Sample, shiftS: number): [string, Json, number] {
  return [one.key, JSON.parse(one.json) as Json, Math.max(0, one.ts + shiftS)];
}
