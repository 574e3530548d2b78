/** Return a number of bytes in words: "812 B", "1.5 KiB", "16 MiB". */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [size, unit] = [count, 0];
  while (size >= 1024 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${Number(size.toFixed(size < 10 && unit > 0 ? 1 : 0))} ${units[unit] ?? ""}`;
}
