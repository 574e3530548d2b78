// The setup of a session: as it is, as it is edited, and what happens when somebody else saved first.
import { Conflict, NotConnected } from "muster-client";
import { computed, ref, shallowRef, watch, type ComputedRef, type Ref, type ShallowRef } from "vue";
import { useClient } from "@/stores/client";
import type { Feed } from "../useFeed";
import { newDraft, redo, replace, type as typeInto, undo, type Draft } from "./draft";
import { formatJson, isSame, parseJson, type Json, type Parsed } from "@/client/json";
import { merge, withItem, type Clash, type Merged } from "./merge";
import { useRunning, type Running } from "./useRunning";
import { readVersion, setupPath, textOf, type Version } from "./versions";

export type Choice = "mine" | "theirs";

export interface Setup {
  /** As the service has it; undefined: not read yet. */
  readonly saved: Readonly<ShallowRef<Version | undefined>>;
  readonly draft: Readonly<ShallowRef<Draft>>;
  readonly parsed: ComputedRef<Parsed>;
  readonly isDirty: ComputedRef<boolean>;
  /** What somebody else saved while this was edited. */
  readonly incoming: ComputedRef<Version | undefined>;
  /** Places where somebody has to choose before both can be joined. */
  readonly clashes: ComputedRef<readonly Clash[]>;
  /** What the device runs. */
  readonly running: Running;
  readonly isBusy: Readonly<Ref<boolean>>;
  /** Why it could not be read; undefined: it could. */
  readonly unread: Readonly<ShallowRef<unknown>>;
  /** Why it could not be changed. */
  readonly error: Readonly<ShallowRef<unknown>>;
  readonly load: () => Promise<void>;
  readonly edit: (text: string) => void;
  readonly back: () => void;
  readonly forth: () => void;
  readonly format: () => void;
  readonly discard: () => void;
  readonly save: () => Promise<boolean>;
  readonly join: () => void;
  readonly settle: (choices: readonly Choice[]) => void;
  /** Go to the setup before, or forth again; the device gets it at once. */
  readonly step: (direction: "undo" | "redo") => Promise<boolean>;
}

export function useSetup(feed: Feed): Setup {
  const client = useClient();
  const path = setupPath(feed.sessionId);
  const saved = shallowRef<Version>();
  /** What the draft began with. */
  const base = shallowRef<Version>();
  const draft = shallowRef(newDraft("{}"));
  const merging = shallowRef<{ readonly merged: Merged; readonly theirs: Version }>();
  const isBusy = ref(false);
  const unread = shallowRef<unknown>();
  const error = shallowRef<unknown>();
  let asked = 0;

  const parsed = computed(() => parseJson(draft.value.text));
  const isDirty = computed(() => base.value !== undefined && !says(parsed.value, draft.value.text, base.value));
  const incoming = computed(() => {
    const isOther = saved.value !== undefined && saved.value.version !== base.value?.version;
    return isOther && isDirty.value ? saved.value : undefined;
  });
  const clashes = computed(() =>
    merging.value?.theirs === incoming.value ? (merging.value?.merged.clashes ?? []) : [],
  );

  function take(found: Version): void {
    const isClean = !isDirty.value;
    saved.value = found;
    if (isClean) rebase(found, draft.value.text === found.text ? draft.value : newDraft(found.text));
    else if (says(parsed.value, draft.value.text, found)) rebase(found, draft.value); // ours, whose answer was lost
  }

  function rebase(found: Version, next: Draft): void {
    base.value = found;
    draft.value = next;
    merging.value = undefined;
  }

  async function load(): Promise<void> {
    const number = ++asked;
    try {
      const answer = await client.request<string>({ method: "GET", path, parse: (text) => text });
      if (number !== asked) return;
      take(readVersion(answer));
      [unread.value, error.value] = [undefined, undefined];
    } catch (caught) {
      if (number === asked) unread.value = caught;
    }
  }

  /** Change it; whoever has changed it meanwhile is not overwritten. */
  async function change(method: string, suffix: string, version: number, json?: string): Promise<Version> {
    const headers = { "If-Match": `"${version}"` };
    const request = { method, path: path + suffix, headers, parse: (text: string) => text, isRepeatable: false };
    const answer = await client.request<string>(json === undefined ? request : { ...request, json });
    asked += 1; // an answer that is on its way is older
    return readVersion(answer);
  }

  async function busily(run: () => Promise<void>): Promise<boolean> {
    isBusy.value = true;
    error.value = undefined;
    try {
      await run();
      return true;
    } catch (caught) {
      error.value = caught;
      if (caught instanceof Conflict) await load();
      return false;
    } finally {
      isBusy.value = false;
    }
  }

  function save(): Promise<boolean> {
    return busily(async () => {
      const [from, mine, text] = [base.value, parsed.value, draft.value.text];
      if (from === undefined || !mine.ok) return;
      const found = await change("PUT", "", from.version, `{"setup":${formatJson(mine.value, 0)}}`).catch(
        (caught: unknown) => savedAfterAll(caught, mine.value),
      );
      take(found);
      rebase(found, draft.value.text === text ? replace(draft.value, found.text) : draft.value);
    });
  }

  /** The answer was lost: look whether it took effect. */
  async function savedAfterAll(caught: unknown, mine: Json): Promise<Version> {
    if (!(caught instanceof NotConnected)) throw caught;
    await load();
    const found = saved.value;
    if (found === undefined || !isSame(found.value, mine)) throw caught;
    return found;
  }

  function join(): void {
    const [from, theirs, mine] = [base.value, incoming.value, parsed.value];
    if (from === undefined || theirs === undefined || !mine.ok) return;
    const merged = merge(from.value ?? undefined, mine.value, theirs.value ?? undefined);
    if (merged.clashes.length > 0) merging.value = { merged, theirs };
    else rebase(theirs, replace(draft.value, textOf(merged.value)));
  }

  function settle(choices: readonly Choice[]): void {
    if (merging.value === undefined) return;
    const { merged, theirs } = merging.value;
    const settled = merged.clashes.reduce<Json | undefined>(
      (value, clash, index) => (choices[index] === "theirs" ? withItem(value, clash.path, clash.theirs) : value),
      merged.value,
    );
    rebase(theirs, replace(draft.value, textOf(settled)));
  }

  const step = (direction: "undo" | "redo"): Promise<boolean> =>
    busily(async () => {
      if (saved.value !== undefined) take(await change("POST", `/${direction}`, saved.value.version));
    });

  /** Once it is shown; a session that is gone has none. */
  const follow = (): void => {
    if (asked > 0 && feed.summary.value !== undefined) void load();
  };
  feed.on({ reset: follow });
  watch(() => [feed.summary.value?.setup_version, feed.summary.value?.in_sync], follow);

  return {
    saved,
    draft,
    parsed,
    isDirty,
    incoming,
    clashes,
    running: useRunning(saved, path),
    isBusy,
    unread,
    error,
    load,
    save,
    join,
    settle,
    step,
    edit: (text) => (draft.value = typeInto(draft.value, text, Date.now())),
    back: () => (draft.value = undo(draft.value)),
    forth: () => (draft.value = redo(draft.value)),
    format: () => {
      if (parsed.value.ok) draft.value = replace(draft.value, formatJson(parsed.value.value));
    },
    discard: () => {
      if (saved.value !== undefined) rebase(saved.value, replace(draft.value, saved.value.text));
    },
  };
}

/** Whether a text says the same as a version, however it is laid out. */
function says(parsed: Parsed, text: string, version: Version): boolean {
  if (text === version.text) return true;
  return parsed.ok && isSame(parsed.value, version.value);
}
