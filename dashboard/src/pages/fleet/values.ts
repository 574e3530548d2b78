import { exactJson } from "@/client/exact";

const numbers = new Intl.NumberFormat("en", { maximumSignificantDigits: 6, useGrouping: false });
const MOST = 200;

/** Return a value in one line. */
export function shortValue(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "number") return Math.abs(value) < 1e15 ? numbers.format(value) : String(value);
  const text = typeof value === "string" ? value : exactJson(value);
  return text.length > MOST ? `${text.slice(0, MOST)}…` : text;
}
