// The commands of a session as they go, and those that are sent from here.
import { NotConnected, Refused, type Command } from "muster-client";
import { inPath } from "muster-client/rest";
import { computed, onScopeDispose, shallowRef, type ComputedRef, type ShallowRef } from "vue";
import { commandJson, newKey, type Wanted } from "@/client/commands";
import { useClient } from "@/stores/client";
import { useCommandNames } from "@/stores/commandNames";
import type { Feed } from "../useFeed";
import { isFinal, listed, namesOf, newestFirst, updated, withoutLost, type Entries, type Entry } from "./commands";

/** One that the service has not taken yet. */
export interface Outgoing extends Wanted {
  /** Its idempotency key: sent again with it, it is the same command. */
  readonly key: string;
  /** `unknown`: the answer was lost. */
  readonly state: "sending" | "unknown" | "refused";
  readonly error: unknown;
}

export interface Commands {
  /** Newest first. */
  readonly entries: ComputedRef<readonly Entry[]>;
  readonly names: ComputedRef<readonly string[]>;
  readonly outgoing: Readonly<ShallowRef<readonly Outgoing[]>>;
  readonly error: Readonly<ShallowRef<unknown>>;
  readonly load: () => Promise<void>;
  readonly send: (wanted: Wanted) => Promise<void>;
  readonly sendAgain: (outgoing: Outgoing) => Promise<void>;
  readonly forget: (outgoing: Outgoing) => void;
  readonly cancel: (entry: Entry) => Promise<void>;
}

/** Changes that come in quick succession cost one request. */
const PAUSE_MS = 400;

export function useCommands(feed: Feed): Commands {
  const client = useClient();
  const remembered = useCommandNames();
  const path = `/sessions/${inPath(feed.sessionId)}/commands`;
  const all = shallowRef<Entries>(new Map());
  const outgoing = shallowRef<readonly Outgoing[]>([]);
  const error = shallowRef<unknown>();
  /** Whether anybody looked at them. */
  let isShown = false;
  /** Were open before a gap of the feed. Redis may have lost them; then nothing more is heard of them. */
  let doubtful: readonly string[] = [];

  async function load(): Promise<void> {
    isShown = true;
    const doubted = doubtful;
    try {
      const found = await client.get<{ commands: Command[] }>(path);
      all.value = listed(withoutLost(all.value, doubted, found.commands), found.commands);
      if (doubtful === doubted) doubtful = [];
      error.value = undefined;
    } catch (caught) {
      error.value = caught;
    }
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  function loadSoon(): void {
    if (!isShown) return;
    timer ??= setTimeout(() => {
      timer = undefined;
      void load();
    }, PAUSE_MS);
  }
  onScopeDispose(() => clearTimeout(timer));

  feed.on({
    reset: () => {
      doubtful = [...all.value.values()].filter((one) => !isFinal(one.status)).map((one) => one.id);
      loadSoon();
    },
    command: ({ command }) => {
      all.value = updated(all.value, command);
      if (all.value.get(command.command_id)?.hasParams !== true) loadSoon(); // somebody else sent it
    },
  });

  async function post(one: Outgoing): Promise<void> {
    const key = one.key;
    outgoing.value = [
      ...outgoing.value.filter((other) => other.key !== key),
      { ...one, state: "sending", error: undefined },
    ];
    try {
      const json = commandJson(one);
      const sent = await client.request<Command>({ method: "POST", path, json, headers: { "Idempotency-Key": key } });
      all.value = listed(all.value, [sent]);
      outgoing.value = outgoing.value.filter((other) => other.key !== key);
      remembered.remember(one.command);
    } catch (caught) {
      const state = caught instanceof NotConnected || !(caught instanceof Refused) ? "unknown" : "refused";
      outgoing.value = outgoing.value.map((other) => (other.key === key ? { ...other, state, error: caught } : other));
    }
  }

  async function cancel(entry: Entry): Promise<void> {
    await client.operate((operator) => operator.cancel(feed.sessionId, entry.id));
    await load();
  }

  const entries = computed(() => newestFirst(all.value));
  return {
    entries,
    names: computed(() => namesOf(all.value, remembered.names)),
    outgoing,
    error,
    load,
    cancel,
    send: (wanted) => post({ ...wanted, key: newKey(), state: "sending", error: undefined }),
    sendAgain: post,
    forget: ({ key }) => (outgoing.value = outgoing.value.filter((other) => other.key !== key)),
  };
}
