// What the parts of the page share.
import { inject, type InjectionKey, type Ref, type ShallowRef } from "vue";
import type { SeriesSet } from "./charts/useSeries";
import type { Commands } from "./commands/useCommands";
import type { Setup } from "./setup/useSetup";
import type { OpenBy } from "./useClients";
import type { Details } from "./useDetails";
import type { Feed } from "./useFeed";
import type { Latest } from "./useLatest";

export interface SessionContext {
  readonly id: string;
  readonly feed: Feed;
  readonly details: Details;
  readonly latest: Readonly<ShallowRef<ReadonlyMap<string, Latest>>>;
  /** Keys that are drawn. */
  readonly picked: Ref<readonly string[]>;
  readonly series: SeriesSet;
  readonly setup: Setup;
  /** undefined: this token may not see them. */
  readonly commands: Commands | undefined;
  readonly clients: Readonly<ShallowRef<readonly OpenBy[] | undefined>>;
  /** Whether this token may change anything. */
  readonly maySteer: Readonly<Ref<boolean>>;
  readonly isArchived: Readonly<Ref<boolean>>;
}

export const sessionKey: InjectionKey<SessionContext> = Symbol("session");

export function useSession(): SessionContext {
  const found = inject(sessionKey);
  if (found === undefined) throw new Error("useSession outside of a session's page");
  return found;
}
