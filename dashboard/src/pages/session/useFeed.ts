// The live connection of one session: its summary as it changes, its samples and its commands.
import type { Change, FleetState, Summary } from "muster-client";
import { onScopeDispose, ref, shallowRef, type Ref, type ShallowRef } from "vue";
import { useClient } from "@/stores/client";

type Of<Kind extends Change["kind"]> = Change & { kind: Kind };
type Handlers = { readonly [Kind in Change["kind"]]?: (change: Of<Kind>) => void };

export interface Feed {
  readonly sessionId: string;
  readonly state: Readonly<Ref<FleetState>>;
  /** undefined: not known yet, or there is no such session. */
  readonly summary: Readonly<ShallowRef<Summary | undefined>>;
  /** When its last samples came, in seconds since 1970 by our clock; undefined: none came. */
  readonly heardAt: Readonly<Ref<number | undefined>>;
  /** Call handlers for as long as the scope lives. */
  readonly on: (handlers: Handlers) => void;
  /** Be counted among those who have the session open. */
  readonly join: () => void;
  /** Be so no more, as before an archive; resolved when the service knows it. */
  readonly leave: () => Promise<void>;
}

/** Watch a session for as long as the scope lives. */
export function useFeed(sessionId: string): Feed {
  const fleet = useClient().newFleet({ scope: { sessions: [sessionId] } });
  const state = ref<FleetState>("connecting");
  const summary = shallowRef<Summary>();
  const heardAt = ref<number>();
  const listeners = new Set<Handlers>();

  const unsubscribe = fleet.subscribe((changes) => {
    state.value = fleet.state;
    summary.value = fleet.getSnapshot().sessions.get(sessionId);
    if (changes.some((change) => change.kind === "samples")) heardAt.value = Math.floor(Date.now() / 1000);
    for (const change of changes) for (const handlers of listeners) call(handlers, change);
  });
  fleet.join(sessionId);
  fleet.start();
  onScopeDispose(() => {
    unsubscribe();
    void fleet.stop();
  });

  function on(handlers: Handlers): void {
    listeners.add(handlers);
    onScopeDispose(() => listeners.delete(handlers), true);
  }

  return {
    sessionId,
    state,
    summary,
    heardAt,
    on,
    join: () => fleet.join(sessionId),
    leave: () => fleet.leave(sessionId),
  };
}

function call(handlers: Handlers, change: Change): void {
  const handler = handlers[change.kind] as ((change: Change) => void) | undefined;
  handler?.(change);
}
