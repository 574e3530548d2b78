// The live connection of the whole page: its state, and the fleet as it is now.
import { Refused, type Change, type Fleet, type FleetSnapshot, type FleetState, type Scope } from "muster-client";
import { defineStore } from "pinia";
import { computed, onScopeDispose, ref, shallowRef, watch } from "vue";
import { explain, isNotAuthenticated } from "@/client/errors";
import { pacedFrames } from "@/client/paced";
import { useAuth } from "./auth";
import { useClient } from "./client";

export type ChangeListener = (changes: readonly Change[]) => unknown;

/** A larger fleet is not loaded as a whole: then only the sessions of a list are watched. */
const MOST_LOADED = 20_000;
/** As the service has it. */
const MOST_WATCHED = 1_000;
/** How often it is asked why there is no connection. */
const ASK_MS = 3_000;
/** Least time between batches of a busy fleet: as often as an eye follows figures. */
const INTERVAL_MS = 250;
/** Of no session: a connection has to watch something. */
const NO_SESSION = "no-session-of-the-dashboard";

const NOTHING: FleetSnapshot = { state: "connecting", sessions: new Map(), counts: undefined, staleSince: undefined };
/** Changes come: all of them as they happen, the latest of each, or late. */
const CONNECTED: ReadonlySet<FleetState> = new Set(["live", "conflated", "stale"]);

export const useConnection = defineStore("connection", () => {
  const auth = useAuth();
  const client = useClient();
  let fleet: Fleet | undefined;
  const snapshot = shallowRef<FleetSnapshot>(NOTHING);
  const state = computed<FleetState>(() => snapshot.value.state);
  /** Whether what is shown is what is now. */
  const isCurrent = computed(() => CONNECTED.has(state.value) && state.value !== "stale");
  /** Whether a whole snapshot has come: before, nobody knows whether there is no session. */
  const isLoaded = ref(false);
  const counts = computed(() => (isLoaded.value ? snapshot.value.counts : undefined));
  /** Why the service takes us for good no more; undefined: it does. */
  const refusal = ref<string>();
  /** Why there is no connection, as far as the service says it; undefined: it says nothing, or there is one. */
  const trouble = shallowRef<unknown>();
  /** When the last gap was: changes before it may be missing in what a page has collected. */
  const gapAt = ref<number>();
  /** Whether the fleet is too large to be loaded as a whole. */
  const isLarge = ref(false);
  const schedule = pacedFrames();
  let watched: readonly string[] = [];
  const listeners = new Set<ChangeListener>();
  let wasLive = false;

  function start(): void {
    if (fleet !== undefined || (auth.refusal !== undefined && auth.token === undefined)) return;
    refusal.value = undefined;
    isLarge.value = false;
    connect();
  }

  function connect(): void {
    const ids = watched.length === 0 ? [NO_SESSION] : watched;
    const scope: Scope = isLarge.value ? { sessions: ids } : "fleet";
    const made = client.newFleet({ scope, samples: "latest", intervalMs: INTERVAL_MS, prompt: true, schedule });
    fleet = made;
    wasLive = false;
    made.subscribe((changes) => {
      if (fleet === made) take(made, changes);
    });
    made.start();
    watchEnd(made);
  }

  /** Watch these sessions, where the fleet is too large to be watched as a whole. */
  function watchOnly(ids: readonly string[]): void {
    const next = ids.slice(0, MOST_WATCHED);
    if (next.length === watched.length && next.every((id, index) => id === watched[index])) return;
    watched = next;
    if (!isLarge.value || fleet === undefined) return;
    const old = fleet;
    connect(); // what is shown stays, until there is something newer
    void old.stop();
  }

  /** Watch what is listed instead of a fleet that turns out to be too large, before more of it is loaded. */
  function becomeLarge(): void {
    const old = fleet;
    isLarge.value = true;
    connect();
    void old?.stop();
  }

  function stop(): void {
    const old = fleet;
    fleet = undefined;
    snapshot.value = NOTHING;
    isLoaded.value = false;
    gapAt.value = undefined;
    void old?.stop();
  }

  /** Begin anew, as with another token. */
  function restart(): void {
    stop();
    start();
  }

  function take(from: Fleet, changes: readonly Change[]): void {
    snapshot.value = from.getSnapshot();
    const { active = 0, inactive = 0 } = snapshot.value.counts ?? {};
    if (!isLarge.value && !CONNECTED.has(snapshot.value.state) && active + inactive > MOST_LOADED) {
      becomeLarge();
      return;
    }
    if (CONNECTED.has(snapshot.value.state)) client.moveTo(from.urls);
    for (const change of changes) {
      if (change.kind === "reset") {
        if (wasLive) gapAt.value = Date.now();
        wasLive = isLoaded.value = true;
      } else if (change.kind === "state" && change.state === "offline") watchEnd(from);
    }
    for (const listener of listeners) listener(changes);
  }

  /** Ask why there is no connection, until there is one: a browser is not told why a websocket was not opened. */
  async function ask(): Promise<void> {
    const found = await client.look("/sessions?limit=1").then(() => undefined, (error: unknown) => error);
    if (fleet !== undefined && !CONNECTED.has(state.value)) trouble.value = found;
  }
  let timer: ReturnType<typeof setInterval> | undefined;
  watch(
    () => state.value === "offline" && refusal.value === undefined,
    (isOffline) => {
      clearInterval(timer);
      trouble.value = undefined;
      if (!isOffline) return;
      void ask();
      timer = setInterval(() => void ask(), ASK_MS);
    },
    { flush: "sync" },
  );
  onScopeDispose(() => clearInterval(timer));

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

  return {
    snapshot, state, isCurrent, isLoaded, counts, refusal, trouble, gapAt, isLarge,
    start, stop, restart, watchOnly, subscribe,
  };
});
