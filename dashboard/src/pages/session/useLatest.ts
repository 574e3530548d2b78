// The latest value of every data key, as it changes.
import { onScopeDispose, shallowRef, triggerRef, watch, type ShallowRef } from "vue";
import type { Details } from "./useDetails";
import type { Feed } from "./useFeed";

export interface Latest {
  readonly value: unknown;
  /** Seconds since 1970; undefined: not known. */
  readonly ts: number | undefined;
}

/** Most paints of values per second: numbers that change faster cannot be read. */
const PAUSE_MS = 200;

/** Follow the latest values for as long as the scope lives. */
export function useLatest(feed: Feed, details: Details): Readonly<ShallowRef<ReadonlyMap<string, Latest>>> {
  const shown = shallowRef(new Map<string, Latest>());
  /** What came since the session was asked for is newer than what the answer says. */
  let live = new Map<string, Latest>();
  let timer: ReturnType<typeof setTimeout> | undefined;

  let paintedAt = -Infinity;

  /** What comes after a pause is shown at once. */
  function show(): void {
    if (timer !== undefined) return;
    const waitMs = paintedAt + PAUSE_MS - performance.now();
    if (waitMs <= 0) paint();
    else timer = setTimeout(paint, waitMs);
  }

  function paint(): void {
    timer = undefined;
    paintedAt = performance.now();
    triggerRef(shown);
  }
  onScopeDispose(() => clearTimeout(timer));

  feed.on({
    reset: () => (live = new Map()),
    samples: ({ samples }) => {
      for (const [key, value, ts] of samples) {
        live.set(key, { value, ts });
        shown.value.set(key, { value, ts });
      }
      show();
    },
  });
  watch(details.session, (session) => {
    if (session === undefined) return;
    const found = new Map<string, Latest>();
    for (const [key, value] of Object.entries(session.telemetry)) {
      // A key may have the name of something that every object has.
      const history = Object.hasOwn(session.data, key) ? session.data[key] : undefined;
      found.set(key, { value, ts: history?.at(-1)?.[1] as number | undefined });
    }
    for (const [key, one] of live) found.set(key, one);
    shown.value = new Map([...found].sort(([one], [other]) => one.localeCompare(other)));
  });
  return shown;
}
