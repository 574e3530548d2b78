// The live connection of the whole page: its state, and the fleet as it is now.
import { Refused, type Change, type Fleet, type FleetSnapshot, type FleetState } from "muster-client";
import { defineStore } from "pinia";
import { computed, ref, shallowRef } from "vue";
import { explain, isNotAuthenticated } from "@/client/errors";
import { useAuth } from "./auth";
import { useClient } from "./client";

export type ChangeListener = (changes: readonly Change[]) => unknown;

const NOTHING: FleetSnapshot = { state: "connecting", sessions: new Map(), counts: undefined };

export const useConnection = defineStore("connection", () => {
  const auth = useAuth();
  const client = useClient();
  let fleet: Fleet | undefined;
  const snapshot = shallowRef<FleetSnapshot>(NOTHING);
  const state = computed<FleetState>(() => snapshot.value.state);
  const counts = computed(() => snapshot.value.counts);
  /** Why the service takes us for good no more; undefined: it does. */
  const refusal = ref<string>();
  /** When the last gap was: changes before it may be missing in what a page has collected. */
  const gapAt = ref<number>();
  const listeners = new Set<ChangeListener>();
  let wasLive = false;

  function start(): void {
    if (fleet !== undefined) return;
    const made = client.newFleet({ samples: "latest", intervalMs: 500 });
    fleet = made;
    wasLive = false;
    refusal.value = undefined;
    made.subscribe((changes) => {
      if (fleet === made) take(made, changes);
    });
    made.start();
    watchEnd(made);
  }

  function stop(): void {
    const old = fleet;
    fleet = undefined;
    snapshot.value = NOTHING;
    void old?.stop();
  }

  /** Begin anew, as with another token. */
  function restart(): void {
    stop();
    start();
  }

  function take(from: Fleet, changes: readonly Change[]): void {
    snapshot.value = from.getSnapshot();
    for (const change of changes) {
      if (change.kind === "reset") {
        if (wasLive) gapAt.value = Date.now();
        wasLive = true;
      } else if (change.kind === "state" && change.state === "offline") watchEnd(from);
    }
    for (const listener of listeners) listener(changes);
  }

  /** A fleet that was refused for good says so to who waits for it. */
  function watchEnd(from: Fleet): void {
    from.waitLive().catch((error: unknown) => {
      if (fleet !== from || !(error instanceof Refused)) return;
      if (isNotAuthenticated(error)) auth.signOut(explain(error));
      else refusal.value = error.message;
      stop();
    });
  }

  /** Call `listener` with the changes of each frame; return what ends that. */
  function subscribe(listener: ChangeListener): () => void {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }

  return { snapshot, state, counts, refusal, gapAt, start, stop, restart, subscribe };
});
