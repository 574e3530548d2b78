// When subscribers are called: once per frame in a page, once per turn of the event loop elsewhere.

/** Calls a function later, once; what asks for it meanwhile shares the call. */
export type Schedule = (run: () => void) => void;

/** Longest time between two calls in a page that is hidden, which paints no frames. */
const HIDDEN_MS = 100;

/** With the next frame of a page; elsewhere behind what runs now. */
export const nextFrame: Schedule = (run) => {
  if (typeof requestAnimationFrame !== "function") {
    queueMicrotask(run);
    return;
  }
  let isDone = false;
  const once = (): void => {
    if (isDone) return;
    isDone = true;
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    run();
  };
  const frame = requestAnimationFrame(once);
  const timer = setTimeout(once, HIDDEN_MS);
};
