// Who else has the session open.
import { inPath } from "muster-client/rest";
import { onScopeDispose, shallowRef, watch, type ShallowRef } from "vue";
import { isPassing } from "@/client/errors";
import { useClient } from "@/stores/client";
import type { Feed } from "./useFeed";

/** A socket that has joined; services of before say neither name nor time. */
export interface OpenBy {
  readonly client_id: string;
  readonly node_id: string;
  readonly name?: string | null;
  /** ISO 8601. */
  readonly since?: string | null;
}

const PAUSE_MS = 300;
/** What could not be read is read again after this. */
const AGAIN_MS = 5_000;

/** Follow the clients of a session; undefined: not known. */
export function useClients(feed: Feed): Readonly<ShallowRef<readonly OpenBy[] | undefined>> {
  const client = useClient();
  const clients = shallowRef<readonly OpenBy[]>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;

  async function load(): Promise<void> {
    const { value: summary } = feed.summary;
    if (summary === undefined || summary.state === "archived") {
      clients.value = undefined; // nobody can have joined it
      return;
    }
    try {
      const path = `/sessions/${inPath(feed.sessionId)}/clients`;
      clients.value = (await client.get<{ clients: readonly OpenBy[] }>(path)).clients;
    } catch (error) {
      clients.value = undefined;
      if (isPassing(error)) soon(AGAIN_MS);
    }
  }

  function soon(ms: number): void {
    clearTimeout(timer);
    if (!isOver) timer = setTimeout(() => void load(), ms);
  }

  watch(
    () => [feed.summary.value?.active_clients, feed.summary.value?.state, feed.state.value],
    () => soon(PAUSE_MS),
    { immediate: true },
  );
  onScopeDispose(() => {
    isOver = true;
    clearTimeout(timer);
  });
  return clients;
}
