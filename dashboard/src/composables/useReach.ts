// Nodes that came after this page was loaded: it may not connect to them, a page that is loaded now may.
import { onScopeDispose, watch } from "vue";
import { useRoute } from "vue-router";
import { useClient } from "@/stores/client";
import { useRelease } from "@/stores/release";

/** Hidden pages load themselves anew one by one, not all at the moment at which a node comes. */
const SPREAD_MS = 10_000;

/** Keep the page one that may go on at every node: say it where it may not, or load it anew where nobody notices. */
export function useReach(): void {
  const client = useClient();
  const release = useRelease();
  const route = useRoute();
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function look(): Promise<void> {
    clearTimeout(timer);
    await release.reach(client.urls);
    clearTimeout(timer);
    if (!release.isNarrow || !document.hidden) return;
    timer = setTimeout(() => release.widen(route.fullPath), Math.random() * SPREAD_MS);
  }

  const lookNow = (): void => void look();
  release.hold(() => route.meta.isInAddress !== true);
  watch(() => client.urls, lookNow);
  document.addEventListener("visibilitychange", lookNow);
  onScopeDispose(() => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", lookNow);
  });
}
