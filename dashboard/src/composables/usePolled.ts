// What has to be asked for again and again, because no change of it is sent.
import { onScopeDispose, ref, shallowRef, watch, type Ref } from "vue";
import { useClient } from "@/stores/client";
import { useConnection } from "@/stores/connection";

export interface Polled<T> {
  /** The last answer; undefined: there was none yet. */
  readonly data: Readonly<Ref<T | undefined>>;
  /** Why the last request failed; `data` is older then. */
  readonly error: Readonly<Ref<unknown>>;
  readonly isLoading: Readonly<Ref<boolean>>;
  /** Ask now. */
  readonly refresh: () => Promise<void>;
}

/** Ask now, `everyMs` after each answer while the page is seen, and when the connection is back. */
export function usePolled<T>(load: () => Promise<T>, everyMs: number): Polled<T> {
  const connection = useConnection();
  const client = useClient();
  const data = shallowRef<T>();
  const error = shallowRef<unknown>();
  const isLoading = ref(false);
  let current = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function refresh(): Promise<void> {
    clearTimeout(timer);
    const mine = ++current;
    isLoading.value = true;
    try {
      const found = await load();
      if (mine !== current) return; // a later request knows more
      data.value = found;
      error.value = undefined;
    } catch (failure) {
      if (mine === current) error.value = failure;
    }
    if (mine !== current) return;
    isLoading.value = false;
    timer = setTimeout(() => {
      if (!document.hidden) void refresh();
    }, everyMs);
  }

  function seen(): void {
    if (!document.hidden) void refresh();
  }

  document.addEventListener("visibilitychange", seen);
  watch(
    () => [client.url, connection.state === "live"] as const,
    ([url, isLive], [before]) => {
      if (isLive || url !== before) void refresh();
    },
  );
  onScopeDispose(() => {
    current += 1;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  });
  void refresh();
  return { data, error, isLoading, refresh };
}
