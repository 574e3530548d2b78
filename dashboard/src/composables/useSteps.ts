// Long work in short steps, so that keys, scrolling and live values never wait for it.
import { onScopeDispose, shallowRef, type ShallowRef } from "vue";

/** Work for so long at once; then whatever waits has its turn. */
const SLICE_MS = 8;

export interface Steps<T> {
  /** The last result; undefined: there was none yet. */
  readonly result: Readonly<ShallowRef<T | undefined>>;
  /** Work with what there is now; what is under way is wanted no more. */
  readonly anew: () => void;
  /** Work with what there is now, as soon as what is under way is done. */
  readonly again: () => void;
}

/** Run what a generator does between its yields; what it returns is the result. */
export function useSteps<T>(make: () => Generator<unknown, T>): Steps<T> {
  const result = shallowRef<T>();
  let steps: Generator<unknown, T> | undefined;
  let isStale = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function go(): void {
    const until = performance.now() + SLICE_MS;
    while (steps !== undefined) {
      const step = steps.next();
      if (step.done === true) {
        result.value = step.value;
        steps = isStale ? make() : undefined;
        isStale = false;
      }
      if (steps !== undefined && performance.now() >= until) {
        timer = setTimeout(go);
        return;
      }
    }
  }

  function anew(): void {
    clearTimeout(timer);
    steps = make();
    isStale = false;
    go();
  }

  function again(): void {
    if (steps === undefined) anew();
    else isStale = true;
  }

  onScopeDispose(() => clearTimeout(timer));
  return { result, anew, again };
}
