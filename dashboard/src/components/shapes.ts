// What shared components are given.

/** One of a few figures side by side. */
export interface Figure {
  readonly label: string;
  readonly value: string;
  /** Beside the value, smaller. */
  readonly note?: string;
  readonly tone?: "bad" | "wait";
}

/** A column of a plain table; its cells are the slot of this name. */
export interface Column {
  readonly key: string;
  readonly label: string;
  readonly isNumber?: boolean;
}
