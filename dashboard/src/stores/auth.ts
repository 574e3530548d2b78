// Who uses the page: the token, where it is kept, and what it allows.
import { defineStore } from "pinia";
import { computed, onScopeDispose, ref } from "vue";
import { reaches, readClaims, type Claims, type Role } from "@/client/claims";

const KEY = "muster.token";
/** What else a person leaves in this browser: names of commands. */
export const NAMES_KEY = "muster.commands";
/** Where tabs of this browser say which token was left. */
const CHANNEL = "muster.left";

export const useAuth = defineStore("auth", () => {
  const token = ref(readStored());
  /** Whether the token outlives this tab. */
  const isKept = ref(read(localStorage) !== undefined);
  /** Why there is a login: the service's words; undefined: none is needed, as far as we know. */
  const refusal = ref<string>();
  /** Grows when somebody leaves, and when another one comes: what the page has collected is not for them. */
  const people = ref(0);
  let last = token.value;
  /** Whether they signed out by themselves: who comes next did not want that page. */
  const hasLeft = ref(false);

  const claims = computed<Claims | undefined>(() => (token.value === undefined ? undefined : readClaims(token.value)));
  /** Without a login everything is allowed. */
  const role = computed(() => (token.value === undefined ? "admin" : claims.value?.role));
  const seesAllProjects = computed(() => claims.value?.projects === undefined);

  /** Whether what needs this role, and perhaps the whole service, may be offered. */
  function may(needed: Role, reach: "some" | "all" = "some"): boolean {
    return reaches(role.value, needed) && (reach === "some" || seesAllProjects.value);
  }

  function signIn(text: string, keep: boolean): void {
    forget();
    write(keep ? localStorage : sessionStorage, text);
    if (last !== undefined && !isSamePerson(last, text)) change();
    last = text;
    hasLeft.value = false;
    token.value = text;
    isKept.value = keep;
    refusal.value = undefined;
  }

  function signOut(why?: string): void {
    forget();
    token.value = undefined;
    isKept.value = false;
    refusal.value = why;
  }

  /** Sign out because the person wants it, in each tab that has this token: nothing of what they saw stays. */
  function leave(): void {
    channel.postMessage(token.value);
    left();
  }

  function left(): void {
    hasLeft.value = true;
    signOut("You signed out.");
    change();
    last = undefined;
  }

  function change(): void {
    people.value += 1;
    remove(localStorage, NAMES_KEY);
  }

  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }): void => {
    if (data !== undefined && data === token.value) left();
  };
  onScopeDispose(() => channel.close());

  return { token, isKept, refusal, hasLeft, people, claims, role, seesAllProjects, may, signIn, signOut, leave };
});

/** Whether a token is a later one of the same person, who may see the same. */
function isSamePerson(one: string, other: string): boolean {
  const [of, ofOther] = [one, other].map((text) => JSON.stringify({ ...readClaims(text), endsAtS: 0 }));
  return of === ofOther;
}

function readStored(): string | undefined {
  return read(sessionStorage) ?? read(localStorage);
}

/** A browser that keeps nothing for this page throws. */
function read(storage: Storage): string | undefined {
  try {
    return storage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(storage: Storage, text: string): void {
  try {
    storage.setItem(KEY, text);
  } catch {
    // It is kept in memory then, until the page is closed.
  }
}

function forget(): void {
  for (const storage of [sessionStorage, localStorage]) remove(storage, KEY);
}

function remove(storage: Storage, key: string): void {
  try {
    storage.removeItem(key);
  } catch {
    // There is nothing in it either.
  }
}
