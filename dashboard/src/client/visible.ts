// Texts of devices as they are shown: nothing in them is invisible, or turns what stands around them.
import { beginningOfJson } from "./exact";
import type { Parsed } from "./json";

/** Joiners and variation selectors, which scripts and emoji need, as the service has them. */
const JOINING = "\\u180b-\\u180d\\u180f\\u200c\\u200d\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}";
/** As names may not have them (docs/protocol.md): a joiner is well behind what is not ASCII, and at most two of them. */
const HIDDEN = new RegExp(
  `[\\p{Cc}\\p{Zl}\\p{Zp}]|(?![${JOINING}])\\p{Default_Ignorable_Code_Point}` +
    `|(?<![^\\0-\\x7f${JOINING}][${JOINING}]?)[${JOINING}]`,
  "gu",
);

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Return a text with `\u202e` in place of a character that nobody would see. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (one) => SHORT[one] ?? `\\u${(one.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

/** The same of a text that may have more than one line. */
export function visibleLines(text: string): string {
  return text
    .split(/\r\n|[\n\r]/)
    .map((line) => visible(line.replaceAll("\t", "  ")))
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
