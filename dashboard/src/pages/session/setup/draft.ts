// What was typed, with steps back and forth. A browser's own undo forgets whatever a program changed in a field.

/** Keys typed within this time are one step. */
const PAUSE_MS = 700;
const MOST_STEPS = 200;
/** Characters of all steps together. */
const MOST_CHARACTERS = 8_000_000;

/** A text and its steps; it never changes. */
export interface Draft {
  readonly text: string;
  readonly past: readonly string[];
  readonly future: readonly string[];
  /** When it was last typed in; 0: not since the last step. */
  readonly typedAt: number;
}

export function newDraft(text: string): Draft {
  return { text, past: [], future: [], typedAt: 0 };
}

/** Typing: changes in quick succession are one step. */
export function type(draft: Draft, text: string, nowMs: number): Draft {
  if (text === draft.text) return draft;
  const isSameStep = draft.typedAt > 0 && nowMs - draft.typedAt < PAUSE_MS && draft.past.length > 0;
  if (isSameStep) return { ...draft, text, future: [], typedAt: nowMs };
  return { text, past: bounded([...draft.past, draft.text]), future: [], typedAt: nowMs };
}

/** A change as a whole, such as a merged text: always one step. */
export function replace(draft: Draft, text: string): Draft {
  if (text === draft.text) return draft;
  return { text, past: bounded([...draft.past, draft.text]), future: [], typedAt: 0 };
}

export function undo(draft: Draft): Draft {
  const text = draft.past.at(-1);
  if (text === undefined) return draft;
  return { text, past: draft.past.slice(0, -1), future: [draft.text, ...draft.future], typedAt: 0 };
}

export function redo(draft: Draft): Draft {
  const [text, ...future] = draft.future;
  if (text === undefined) return draft;
  return { text, past: [...draft.past, draft.text], future, typedAt: 0 };
}

function bounded(steps: readonly string[]): readonly string[] {
  let first = Math.max(0, steps.length - MOST_STEPS);
  let characters = steps.slice(first).reduce((sum, step) => sum + step.length, 0);
  while (characters > MOST_CHARACTERS && first < steps.length - 1) {
    characters -= steps[first]?.length ?? 0;
    first += 1;
  }
  return steps.slice(first);
}
