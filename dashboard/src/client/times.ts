// Times in words: how long ago, and exactly, in the zone of who reads.

const STEPS = [
  ["second", 60],
  ["minute", 60],
  ["hour", 24],
  ["day", 365],
] as const;

const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
});
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const LATEST_MS = 8.64e15;

/** Return milliseconds since 1970 of seconds, as events have them, or of ISO 8601, as the API has it. */
export function toMs(at: number | string | null | undefined): number | undefined {
  if (at === null || at === undefined) return undefined;
  const ms = typeof at === "number" ? at * 1000 : Date.parse(at);
  return Math.abs(ms) <= LATEST_MS ? ms : undefined; // also not of NaN
}

/** Return "now", "12s ago", "in 3h" */
export function relativeTime(ms: number, now: number): string {
  const past = now - ms;
  let amount = Math.trunc(Math.abs(past) / 1000);
  if (amount < 1) return "now";
  for (const [unit, most] of STEPS) {
    if (amount < most) return words.format(past > 0 ? -amount : amount, unit);
    amount = Math.trunc(amount / most);
  }
  return words.format(past > 0 ? -amount : amount, "year");
}

/** Return date and time with the zone; of what no calendar has, the number. */
export function exactTime(ms: number): string {
  return Math.abs(ms) <= LATEST_MS ? exact.format(ms) : String(ms);
}

/** Return the time of day, to the millisecond. */
export function clockTime(ms: number): string {
  return Math.abs(ms) <= LATEST_MS ? clock.format(ms) : String(ms);
}

/** Return a length of time: "0.4 s", "12 s", "3 min 5 s", "2 h 10 min", "4 d 3 h". */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.trunc(whole / 60), "min", whole % 60, "s");
  if (whole < 86_400) return two(Math.trunc(whole / 3600), "h", Math.trunc((whole % 3600) / 60), "min");
  return two(Math.trunc(whole / 86_400), "d", Math.trunc((whole % 86_400) / 3600), "h");
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
