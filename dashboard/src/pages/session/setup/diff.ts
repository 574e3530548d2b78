// The lines in which two texts differ.

export type DiffLine =
  | {
      readonly kind: "same" | "added" | "removed";
      readonly text: string;
      readonly before?: number;
      readonly after?: number;
    }
  /** Lines that are the same, and far from any difference. */
  | { readonly kind: "skipped"; readonly count: number };

/** More differences than this are not matched line by line: it would take long, and nobody would read it. */
const MOST_EDITS = 1_000;

type Edit = "same" | "added" | "removed";

/** Compare two texts; `context`: the unchanged lines shown around each change. */
export function diffLines(before: string, after: string, context = 3): DiffLine[] {
  const [old, fresh] = [before.split("\n"), after.split("\n")];
  let head = 0;
  while (head < old.length && head < fresh.length && old[head] === fresh[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(old.length, fresh.length) - head && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1;
  const [oldPart, freshPart] = [old.slice(head, old.length - tail), fresh.slice(head, fresh.length - tail)];
  const edits = shortest(oldPart, freshPart) ?? [
    ...oldPart.map(() => "removed" as const),
    ...freshPart.map(() => "added" as const),
  ];
  const same = (count: number): Edit[] => new Array<Edit>(count).fill("same");
  return shorten(numbered([...same(head), ...edits, ...same(tail)], old, fresh), context);
}

/** Return how many lines were added and removed. */
export function countChanges(lines: readonly DiffLine[]): { added: number; removed: number } {
  const count = (kind: Edit): number => lines.filter((line) => line.kind === kind).length;
  return { added: count("added"), removed: count("removed") };
}

/** The shortest list of edits (Myers, 1986); undefined: it has more than `MOST_EDITS`. */
function shortest(old: readonly string[], fresh: readonly string[]): Edit[] | undefined {
  const most = Math.min(old.length + fresh.length, MOST_EDITS);
  let reach = new Map<number, number>([[1, 0]]); // by diagonal, how far in `old`
  const steps: Map<number, number>[] = [];
  for (let edits = 0; edits <= most; edits += 1) {
    steps.push(reach);
    reach = new Map(reach);
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let at = comesDown(reach, diagonal, edits) ? far(reach, diagonal + 1) : far(reach, diagonal - 1) + 1;
      while (at < old.length && at - diagonal < fresh.length && old[at] === fresh[at - diagonal]) at += 1;
      reach.set(diagonal, at);
      if (at >= old.length && at - diagonal >= fresh.length) return walkBack(steps, old.length, fresh.length);
    }
  }
  return undefined;
}

function far(reach: ReadonlyMap<number, number>, diagonal: number): number {
  return reach.get(diagonal) ?? -1;
}

/** Whether a diagonal is reached by a line that was added, not by one that was removed. */
function comesDown(reach: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  return diagonal === -edits || (diagonal !== edits && far(reach, diagonal - 1) < far(reach, diagonal + 1));
}

function walkBack(steps: readonly ReadonlyMap<number, number>[], oldLength: number, freshLength: number): Edit[] {
  const found: Edit[] = [];
  let [x, y] = [oldLength, freshLength];
  for (let edits = steps.length - 1; edits >= 0; edits -= 1) {
    const reach = steps[edits] as ReadonlyMap<number, number>;
    const diagonal = x - y;
    const isDown = comesDown(reach, diagonal, edits);
    const from = isDown ? diagonal + 1 : diagonal - 1;
    const [fromX, fromY] = [far(reach, from), far(reach, from) - from];
    while (x > fromX && y > fromY && x > 0 && y > 0) {
      found.push("same");
      [x, y] = [x - 1, y - 1];
    }
    if (edits > 0) found.push(isDown ? "added" : "removed");
    [x, y] = [fromX, fromY];
  }
  return found.reverse();
}

function numbered(edits: readonly Edit[], old: readonly string[], fresh: readonly string[]): DiffLine[] {
  let [before, after] = [0, 0];
  return edits.map((kind) => {
    if (kind === "removed") return { kind, text: old[before] ?? "", before: ++before };
    if (kind === "added") return { kind, text: fresh[after] ?? "", after: ++after };
    return { kind, text: old[before] ?? "", before: ++before, after: ++after };
  });
}

function shorten(lines: readonly DiffLine[], context: number): DiffLine[] {
  const near = new Uint8Array(lines.length);
  lines.forEach((line, index) => {
    if (line.kind !== "same") near.fill(1, Math.max(0, index - context), index + context + 1);
  });
  const shown: DiffLine[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    if (near[index] === 1) {
      shown.push(lines[index] as DiffLine);
      continue;
    }
    const next = near.indexOf(1, index);
    const end = next < 0 ? lines.length : next;
    shown.push({ kind: "skipped", count: end - index });
    index = end - 1;
  }
  return shown;
}
