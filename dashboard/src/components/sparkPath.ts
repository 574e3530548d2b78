/** Return the path of a line through points that ends at the right; it is broken where a point is undefined. */
export function sparkPath(
  points: readonly (number | undefined)[],
  length: number,
  width: number,
  height: number,
): string {
  const shown = points.slice(-length);
  const known = shown.filter((one) => one !== undefined);
  const least = Math.min(...known);
  const range = Math.max(...known) - least;
  const step = width / Math.max(1, length - 1);
  const first = width - (shown.length - 1) * step;
  const round = (number: number): number => Math.round(number * 10) / 10;
  let isDrawing = false;
  let path = "";
  shown.forEach((point, index) => {
    if (point === undefined) {
      isDrawing = false;
      return;
    }
    const y = range === 0 ? height / 2 : height - 2 - ((point - least) / range) * (height - 4);
    path += `${isDrawing ? "L" : "M"}${round(first + index * step)} ${round(y)}`;
    isDrawing = true;
  });
  return path;
}
