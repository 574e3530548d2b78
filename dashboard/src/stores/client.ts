// The way to the service: requests with the token, to the node that we are connected to.
import { Fleet, Operator, type FleetOptions } from "muster-client";
import { Rest, type Request } from "muster-client/rest";
import { defineStore } from "pinia";
import { computed, ref } from "vue";
import { explain, isNotAuthenticated } from "@/client/errors";
import { parseExact } from "@/client/exact";
import { fetchFile, type FileRequest } from "@/client/files";
import { useAuth } from "./auth";

const TIMEOUT_S = 30;
const RETRIES = 2;
const LOOK_S = 5;
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
      if (isNotAuthenticated(error) && token === auth.token) auth.signOut(explain(error));
      throw error;
    }
  }

  /** Take these addresses, the first one for requests. */
  function moveTo(known: readonly string[]): void {
    if (known.join(" ") !== urls.value.join(" ")) urls.value = known;
  }

  /** Call the API below `/api/v1`. */
  const request = <T>(wanted: Request): Promise<T> => guarded(() => rest.value.ask<T>(wanted));

  const get = <T>(path: string, query: Request["query"] = {}): Promise<T> => request<T>({ method: "GET", path, query });

  /** Ask once, and not for long: what it says now. */
  const look = <T>(path: string): Promise<T> => guarded(() => restOnce.value.ask<T>({ method: "GET", path }));

  /** Use muster-client's operator. */
  const operate = <T>(run: (operator: Operator) => Promise<T>): Promise<T> => guarded(() => run(rawOperator.value));

  /** Fetch a file below `/api/v1`; `saveBlob` of client/files.ts saves it. */
  const file = (path: string, options: Omit<FileRequest, "url" | "token"> = {}): Promise<Blob> =>
    guarded(() => fetchFile({ ...options, url: `${url.value}/api/v1${path}`, token: auth.token }));

  /** Make a live connection of one's own, which has to be started and stopped. */
  const newFleet = (options: FleetOptions = {}): Fleet =>
    new Fleet(urls.value, { ...login.value, transports: TRANSPORTS, parse: parseExact, ...options });

  return { url, urls, moveTo, request, get, look, operate, file, newFleet };
});
