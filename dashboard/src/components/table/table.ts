// What DataTable is given.

export interface TableColumn {
  readonly id: string;
  readonly title: string;
  /** Of CSS grid: `8rem`, `minmax(8rem, 1fr)`. */
  readonly width: string;
  readonly isNumber?: boolean;
  /** Whether its head does not sort. */
  readonly isUnsorted?: boolean;
}

export interface TableSort {
  readonly by: string;
  readonly isDescending: boolean;
}

/** What a page may ask a table for. */
export interface TableKeys {
  /** Take a key that was meant for the rows; return whether it was. */
  takeKey: (event: KeyboardEvent) => boolean;
  /** Have no active row any more; return whether there was one. */
  clearActive: () => boolean;
  /** Go to the first row. */
  enter: () => void;
  place: () => TablePlace;
}

/** Where a reader is in a table. */
export interface TablePlace {
  /** Id of the active row; undefined: none is. */
  readonly active: string | undefined;
  /** How far it is scrolled, px. */
  readonly top: number;
}

/** Return the order that a click on a head asks for. */
export function nextSort(sort: TableSort | undefined, id: string): TableSort {
  return { by: id, isDescending: sort?.by === id && !sort.isDescending };
}

/** Return the least width of columns together; head and rows would each take their own from what stands in them. */
export function leastWidth(widths: readonly string[]): string {
  const rem = widths.map((width) => Number(/([\d.]+)rem/.exec(width)?.[1] ?? 0));
  return `${rem.reduce((sum, one) => sum + one, 0)}rem`;
}

/** Return where a key leads from a row; undefined: nowhere. */
export function movedRow(key: string, from: number, count: number, page: number): number | undefined {
  if (count === 0) return undefined;
  const last = count - 1;
  const steps: Readonly<Record<string, number>> = {
    ArrowDown: from + 1,
    ArrowUp: from - 1,
    PageDown: from + page,
    PageUp: from - page,
    Home: 0,
    End: last,
  };
  const to = steps[key];
  return to === undefined ? undefined : Math.max(0, Math.min(last, to));
}
