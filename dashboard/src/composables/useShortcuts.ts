// Keys of the page that is shown; `?` lists them.
import { onScopeDispose, readonly, shallowRef } from "vue";

export interface Shortcut {
  /** As `KeyboardEvent.key` names it: "/", "Escape", "ArrowDown" … */
  readonly key: string;
  /** For the list of keys. */
  readonly does: string;
  /** Return false: it was not for us. */
  readonly run: (event: KeyboardEvent) => unknown;
  /** Also while somebody types into a field. */
  readonly inFields?: boolean;
}

const groups = shallowRef<readonly { title: string; shortcuts: readonly Shortcut[] }[]>([]);

/** All keys that work now, by page; for the help. */
export const shortcutGroups = readonly(groups);

/** Have keys for as long as the component lives. */
export function useShortcuts(title: string, shortcuts: readonly Shortcut[]): void {
  const group = { title, shortcuts };
  groups.value = [...groups.value, group];
  onScopeDispose(() => (groups.value = groups.value.filter((one) => one !== group)));
}

/** Give a key to who wants it, the youngest first. */
export function runShortcut(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = event.target instanceof Element ? event.target : document.body;
  if (at.closest("[role=dialog], [role=alertdialog], [role=menu], [role=listbox]") !== null) return;
  const isField = at.matches("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]");
  for (const { shortcuts } of [...groups.value].reverse()) {
    for (const one of shortcuts) {
      if (one.key !== event.key || (isField && one.inFields !== true)) continue;
      if (one.run(event) === false) continue;
      event.preventDefault();
      return;
    }
  }
}
