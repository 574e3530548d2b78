// Who uses the page: the token, where it is kept, and what it allows.
import { defineStore } from "pinia";
import { computed, ref } from "vue";
import { reaches, readClaims, type Claims, type Role } from "@/client/claims";

const KEY = "muster.token";

export const useAuth = defineStore("auth", () => {
  const token = ref(readStored());
  /** Whether the token outlives this tab. */
  const isKept = ref(read(localStorage) !== undefined);
  /** Why there is a login: the service's words; undefined: none is needed, as far as we know. */
  const refusal = ref<string>();

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

  return { token, isKept, refusal, claims, role, seesAllProjects, may, signIn, signOut };
});

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
  for (const storage of [sessionStorage, localStorage]) {
    try {
      storage.removeItem(KEY);
    } catch {
      // There is nothing in it either.
    }
  }
}
