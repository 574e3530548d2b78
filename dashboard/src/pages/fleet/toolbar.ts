/** What the page may ask the toolbar for. */
export interface ToolbarKeys {
  focus: () => void;
  /** Leave the search, and empty it; return whether there was anything to leave. */
  leave: () => boolean;
}

/** What can be chosen in the filters. */
export interface Choices {
  readonly projects: readonly string[];
  readonly nodes: readonly string[];
}
