// What the service keeps of a session beside its summary: statistics, timeline, latest values, what the device says of
// itself; not its histories, of which the charts read what they show.
import { inPath } from "muster-client/rest";
import type { Session } from "muster-client";
import { onScopeDispose, ref, shallowRef, watch, type Ref, type ShallowRef } from "vue";
import { codeOf, orOlder } from "@/client/errors";
import { useClient } from "@/stores/client";
import type { Feed } from "./useFeed";
import type { RawEvent } from "./timeline/events";

export interface Details {
  readonly session: Readonly<ShallowRef<Session | undefined>>;
  readonly timeline: Readonly<ShallowRef<readonly RawEvent[]>>;
  /** Why the session could not be read; undefined: it could. */
  readonly error: Readonly<ShallowRef<unknown>>;
  /** There is no such session, or no more. */
  readonly isGone: Readonly<Ref<boolean>>;
  readonly load: () => Promise<void>;
}

/** Changes that come in quick succession cost one request. */
const PAUSE_MS = 500;

/** Return what runs a request a little later, once for all that ask for it meanwhile. */
function later(run: () => Promise<void>): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  onScopeDispose(() => clearTimeout(timer));
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      void run();
    }, PAUSE_MS);
  };
}

export function useDetails(feed: Feed): Details {
  const client = useClient();
  const path = `/sessions/${inPath(feed.sessionId)}`;
  const session = shallowRef<Session>();
  const timeline = shallowRef<readonly RawEvent[]>([]);
  const error = shallowRef<unknown>();
  const isGone = ref(false);
  let asked = 0;

  async function load(): Promise<void> {
    const number = ++asked;
    try {
      const found = await orOlder(
        () => client.get<Session>(path, { limit: 1 }),
        () => client.get<Session>(path),
      );
      if (number !== asked) return;
      session.value = found;
      timeline.value = found.timeline as unknown as RawEvent[];
      error.value = undefined;
      isGone.value = false;
    } catch (caught) {
      if (number !== asked) return;
      isGone.value = codeOf(caught) === "session_not_found";
      error.value = caught;
    }
  }

  /** Commands change nothing but the timeline. */
  async function loadTimeline(): Promise<void> {
    try {
      timeline.value = (await client.get<{ timeline: RawEvent[] }>(`${path}/timeline`)).timeline;
    } catch {
      soon(); // which says why
    }
  }

  const soon = later(load);
  feed.on({ reset: soon, removed: soon, command: later(loadTimeline) });
  // What changes these is in the timeline too.
  watch(
    () => [
      feed.summary.value?.state,
      feed.summary.value?.node_id,
      feed.summary.value?.start_time,
      feed.summary.value?.setup_version,
      feed.summary.value?.in_sync,
    ],
    soon,
  );
  void load();
  return { session, timeline, error, isGone, load };
}
