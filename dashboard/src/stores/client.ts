// The way to the service: requests with the token, to the node that we are connected to.
import { Fleet, NotConnected, Operator, type FleetOptions } from "muster-client";
import { Rest, type Request } from "muster-client/rest";
import { defineStore } from "pinia";
import { computed, ref, watch } from "vue";
import { explain, isNotAuthenticated } from "@/client/errors";
import { parseExact } from "@/client/exact";
import { fetchFile, type FileRequest } from "@/client/files";
import { useAuth } from "./auth";

const TIMEOUT_S = 30;
const RETRIES = 2;
const LOOK_S = 5;
/** For so long a node that was left may still answer: one that is stopped does, a frozen one does not. */
const LEFT_MS = 3_000;
/** The second one is for networks in which no websocket gets through. */
const TRANSPORTS = ["websocket", "polling"] as const;

export const useClient = defineStore("client", () => {
  const auth = useAuth();
  /** Addresses of nodes, the present one first. */
  const urls = ref<readonly string[]>([location.origin]);
  const url = computed(() => urls.value[0] ?? location.origin);
  const login = computed(() => (auth.token === undefined ? {} : { token: auth.token }));
  const rest = computed(() => new Rest(url.value, auth.token, TIMEOUT_S, RETRIES, parseExact));
  const restOnce = computed(() => new Rest(url.value, auth.token, LOOK_S, 0, parseExact));
  const options = computed(() => ({ ...login.value, timeoutS: TIMEOUT_S, retries: RETRIES, parse: parseExact }));
  const rawOperator = computed(() => new Operator(url.value, options.value));

  /** Run a request; where the token is over, the login is shown. */
  async function guarded<T>(run: () => Promise<T>): Promise<T> {
    const { token } = auth;
    try {
      return await run();
    } catch (error) {
      const isNews = token === auth.token && auth.refusal === undefined; // not of who is signed out already
      if (isNews && isNotAuthenticated(error)) auth.signOut(explain(error));
      throw error;
    }
  }

  /**
   * Run what asks the present node. When the page leaves that node it may be frozen, and would be waited for in vain:
   * what can be repeated is asked of the next one, of anything else nobody knows whether it was done.
   */
  async function followed<T>(run: () => Promise<T>, isRepeatable: boolean): Promise<T> {
    for (;;) {
      const move = nextMove();
      const answer = run();
      try {
        const first = await Promise.race([answer, move.isLeft]);
        if (first !== LEFT) return first;
        if (isRepeatable) continue;
        const late = await Promise.race([answer, pause(LEFT_MS)]);
        if (late === LEFT) throw new NotConnected("the page is at another node now");
        return late;
      } finally {
        move.forget();
      }
    }
  }

  /** Return what tells that requests go to another node. */
  function nextMove(): { readonly isLeft: Promise<typeof LEFT>; readonly forget: () => void } {
    let tell: (left: typeof LEFT) => void;
    const isLeft = new Promise<typeof LEFT>((resolve) => (tell = resolve));
    return { isLeft, forget: watch(url, () => tell(LEFT), { flush: "sync" }) };
  }

  /** Take these addresses, the first one for requests. */
  function moveTo(known: readonly string[]): void {
    if (known.join(" ") !== urls.value.join(" ")) urls.value = known;
  }

  /** Call the API below `/api/v1`. */
  const request = <T>(wanted: Request): Promise<T> => {
    const isRepeatable = wanted.isRepeatable !== false && wanted.doneCode === undefined;
    return guarded(() => followed(() => rest.value.ask<T>(wanted), isRepeatable));
  };

  const get = <T>(path: string, query: Request["query"] = {}): Promise<T> => request<T>({ method: "GET", path, query });

  /** Ask once, and not for long: what it says now. */
  const look = <T>(path: string): Promise<T> => guarded(() => restOnce.value.ask<T>({ method: "GET", path }));

  /** Use muster-client's operator to change something. */
  const operate = <T>(run: (operator: Operator) => Promise<T>): Promise<T> =>
    guarded(() => followed(() => run(rawOperator.value), false));

  /** Use it to read. */
  const consult = <T>(run: (operator: Operator) => Promise<T>): Promise<T> =>
    guarded(() => followed(() => run(rawOperator.value), true));

  /** Fetch a file below `/api/v1`; `saveBlob` of client/files.ts saves it. */
  const file = (path: string, options: Omit<FileRequest, "url" | "token"> = {}): Promise<Blob> =>
    guarded(() => followed(() => fetchFile({ ...options, url: `${url.value}/api/v1${path}`, token: auth.token }), true));

  /** Make a live connection of one's own, which has to be started and stopped. */
  const newFleet = (options: FleetOptions = {}): Fleet =>
    new Fleet(urls.value, { ...login.value, transports: TRANSPORTS, parse: parseExact, ...options });

  return { url, urls, moveTo, request, get, look, operate, consult, file, newFleet };
});

/** Stands for an answer that did not come. */
const LEFT = Symbol("left");

const pause = (ms: number): Promise<typeof LEFT> => new Promise((resolve) => setTimeout(() => resolve(LEFT), ms));
