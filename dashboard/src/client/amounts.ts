// Amounts in words.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** Return "512 B", "1.5 KiB", "84 MiB". */
export function bytes(amount: number): string {
  let left = amount;
  let unit = 0;
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024;
    unit += 1;
  }
  return `${left < 10 && unit > 0 ? left.toFixed(1) : Math.round(left)} ${UNITS[unit] ?? ""}`;
}

/** Return a number with its thousands apart, and at most as many digits behind the point. */
export function count(amount: number, digits = 3): string {
  return amount.toLocaleString("en", { maximumFractionDigits: digits });
}

/** Return "1 file", "2 files", "1,234 files". */
export function counted(amount: number, one: string, many = `${one}s`): string {
  return `${count(amount)} ${amount === 1 ? one : many}`;
}
