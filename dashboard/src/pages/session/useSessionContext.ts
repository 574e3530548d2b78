// Everything about one session, for as long as its page is shown.
import { computed } from "vue";
import { useAuth } from "@/stores/auth";
import { usePicked } from "./charts/usePicked";
import { useSeries } from "./charts/useSeries";
import { useCommands } from "./commands/useCommands";
import type { SessionContext } from "./context";
import { useSetup } from "./setup/useSetup";
import { useClients } from "./useClients";
import { useDetails } from "./useDetails";
import { useFeed } from "./useFeed";
import { useLatest } from "./useLatest";

export function useSessionContext(id: string): SessionContext {
  const auth = useAuth();
  const feed = useFeed(id);
  const details = useDetails(feed);
  const latest = useLatest(feed, details);
  const picked = usePicked(latest);
  const setup = useSetup(feed);
  const commands = auth.may("operator") ? useCommands(feed) : undefined;
  return {
    id,
    feed,
    details,
    latest,
    picked,
    series: useSeries(feed, picked),
    setup,
    commands,
    clients: useClients(feed),
    maySteer: computed(() => auth.may("operator")),
    isArchived: computed(() => (feed.summary.value ?? details.session.value)?.state === "archived"),
  };
}
