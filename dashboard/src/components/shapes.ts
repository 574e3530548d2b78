// What shared components are given.

/** One of a few figures side by side. */
export interface Figure {
  readonly label: string;
  readonly value: string;
  /** Beside the value, smaller. */
  readonly note?: string;
  readonly tone?: "bad" | "wait";
}

/** What can be given the keys of somebody who types. */
export interface Focusable {
  readonly focus: () => void;
}

/** One of the parts of a page; what it shows is the slot of this name. */
export interface Tab {
  readonly value: string;
  readonly label: string;
  /** What somebody should look at there; "": nothing. */
  readonly note?: string;
}

/** A column of a plain table; its cells are the slot of this name. */
export interface Column {
  readonly key: string;
  readonly label: string;
  readonly isNumber?: boolean;
}
