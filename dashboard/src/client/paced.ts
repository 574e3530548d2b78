// When a page shows what came: with its next frame, and at a price, so that a busy fleet leaves time for other things.
import { nextFrame, type Schedule } from "muster-client";

/** Of all time, what showing changes may take. */
const SHARE = 0.1;
/** Longest pause behind a frame, however long that took. */
const MOST_MS = 500;

/** Return a schedule of frames; behind each is a pause, as long as it needs for all of them to take their share. */
export function pacedFrames(): Schedule {
  let freeAt = -Infinity;
  return (run) => {
    const show = (): void =>
      nextFrame(() => {
        const began = performance.now();
        run();
        behindFrame(() => (freeAt = began + Math.min((performance.now() - began) / SHARE, MOST_MS)));
      });
    const waitMs = freeAt - performance.now();
    if (waitMs <= 0 || document.hidden) show(); // in a hidden page timers may wait a minute, and one is enough
    else setTimeout(show, waitMs);
  };
}

/** Call when what the present frame changed is drawn. */
function behindFrame(then: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    then();
  };
  port2.postMessage(undefined);
}
