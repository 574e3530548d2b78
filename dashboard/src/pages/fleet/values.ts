// Values of data keys in one line.
import { inLine } from "@/client/visible";

const numbers = new Intl.NumberFormat("en", { maximumSignificantDigits: 6, useGrouping: false });
/** Of values that are no text or number, which are shown again and again. */
const texts = new WeakMap<object, string>();

/** Return a value in one line. */
export function shortValue(value: unknown): string {
  if (value === undefined) return "";
  if (typeof value === "number") return Math.abs(value) < 1e15 ? numbers.format(value) : String(value);
  if (typeof value !== "object" || value === null) return inLine(value);
  const text = texts.get(value) ?? inLine(value);
  texts.set(value, text);
  return text;
}
