// Texts of devices as they are shown: nothing in them is invisible, or turns what stands around them.
import { beginningOfJson } from "./exact";
import { HIDDEN } from "./hidden";
import type { Parsed } from "./json";

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Of a text with nothing else nobody would see that it is there, nor could they choose it. */
const BLANK = /^\p{Zs}+$/u;

/** Return a text with `\u202e` in place of a character that nobody would see. */
export function visible(text: string): string {
  return escaped(BLANK.test(text) ? "␣".repeat(text.length) : text);
}

function escaped(text: string): string {
  return text.replace(HIDDEN, (one) => SHORT[one] ?? `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

/** The same of a text that may have more than one line. */
export function visibleLines(text: string): string {
  return text
    .split(/\r\n|[\n\r]/)
    .map((line) => escaped(line.replaceAll("\t", "  ")))
    .join("\n");
}

/** Return a value in one line, cut after `most` characters. */
export function inLine(value: unknown, most = 200): string {
  const text = cut(typeof value === "string" ? value : beginningOfJson(value, most), most);
  return cut(visible(text), most);
}

/** Return a text that is not longer than `most` characters. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  return `${text.slice(0, most - 1).replace(/[\ud800-\udbff]$/, "")}…`; // not in the middle of a character
}

/** Return what is wrong with a text that should be JSON; "": nothing. */
export function faultOf(parsed: Parsed): string {
  return parsed.ok ? "" : `Line ${parsed.line}, column ${parsed.column}: ${visible(parsed.message)}.`;
}
