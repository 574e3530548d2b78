// Keys of the page that is shown; `?` lists them.
import { onScopeDispose, readonly, shallowRef } from "vue";

export interface Shortcut {
  /** As `KeyboardEvent.key` names it: "/", "Escape", "ArrowDown" …; of a letter the small one, with Shift too. */
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

/** Return the name of a key; a letter has the same one with Shift, and with Caps Lock. */
export function nameOfKey({ key }: KeyboardEvent): string {
  return key.length === 1 ? key.toLowerCase() : key;
}

/** Give a key to who wants it, the youngest first. */
export function runShortcut(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = event.target instanceof Element ? event.target : document.body;
  if (at.closest("[role=dialog], [role=alertdialog], [role=menu], [role=listbox]") !== null) return;
  const isField = at.matches("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]");
  const key = nameOfKey(event);
  for (const { shortcuts } of [...groups.value].reverse()) {
    for (const one of shortcuts) {
      if (one.key !== key || (isField && one.inFields !== true)) continue;
      if (one.run(event) === false) continue;
      event.preventDefault();
      return;
    }
  }
}
