// Requests of the REST API: errors are exceptions, and what can be repeated without harm is repeated.
import { Conflict, NotConnected, Refused, words, type ErrorBody } from "./errors.js";
import type { Parse } from "./packets.js";
import { Sleeper } from "./time.js";
import { currentToken, type Token } from "./tokens.js";

export interface Request {
  readonly method: string;
  /** Below `/api/v1`. */
  readonly path: string;
  readonly body?: unknown;
  /** The body as JSON text, instead of `body`: numbers keep the digits that JavaScript would round. */
  readonly json?: string;
  /** Reads the text of this answer, in its own way. */
  readonly parse?: Parse;
  /** Fields that are undefined or null are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutS?: number;
  /** Whether a repetition does no harm where the answer was lost. */
  readonly isRepeatable?: boolean;
  /** Code that means, after an answer that was lost, that the lost request did it. */
  readonly doneCode?: string;
}

/** What stands in front of the service answers so while it is away, or did not answer in time. */
const GATEWAY = new Set([502, 503, 504]);
/** Longest wait before a repetition. */
const LONGEST_PAUSE_S = 10;

/** Return an id as it stands in a path; `.` and `..` would be taken out of it on the way. */
export function inPath(id: string): string {
  return (/^(\.{1,2}$|\u007F)/.test(id) ? "%7F" : "") + encodeURIComponent(id);
}

/** Makes requests to one address. */
export class Rest {
  readonly #base: string;

  constructor(
    url: string,
    private readonly token: Token | undefined,
    private readonly timeoutS: number,
    private readonly retries: number,
    private readonly parse: Parse = JSON.parse,
  ) {
    const { protocol } = new URL(url); // throws what is wrong with it
    if (protocol !== "http:" && protocol !== "https:") throw new TypeError(`${url} is no http or https address`);
    this.#base = `${url.replace(/\/+$/, "")}/api/v1`;
  }

  /**
   * Return the body of the answer.
   * @throws Refused: the service answered with an error; `Conflict` where a version did not fit.
   * NotConnected: there was no whole answer; whether it took effect is not known.
   */
  async ask<T>(request: Request): Promise<T> {
    let wasLost = false;
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.#once<T>(request);
      } catch (error) {
        if (error instanceof Refused && wasLost && error.code === request.doneCode) return undefined as T;
        const isLost = error instanceof NotConnected;
        wasLost ||= isLost;
        const mayRepeat = isLost ? request.isRepeatable !== false : error instanceof Refused && error.retryable;
        if (!mayRepeat || attempt === this.retries) throw error;
        const asked = error instanceof Refused ? error.retryAfterS : undefined;
        await new Sleeper().sleep(Math.min(LONGEST_PAUSE_S, asked ?? 0.2 * 2 ** attempt));
      }
    }
  }

  async #once<T>({ method, path, query = {}, headers = {}, timeoutS, parse = this.parse, ...given }: Request): Promise<T> {
    const json = given.json ?? (given.body === undefined ? undefined : JSON.stringify(given.body));
    const fields = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const pairs = fields.flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
    const parameters = new URLSearchParams(pairs).toString();
    const token = await currentToken(this.token);
    const sent = new Headers(headers);
    if (token !== undefined) sent.set("Authorization", `Bearer ${token}`);
    if (json !== undefined && !sent.has("Content-Type")) sent.set("Content-Type", "application/json");
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.#base + path + (parameters && `?${parameters}`), {
        method,
        headers: sent,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: AbortSignal.timeout((timeoutS ?? this.timeoutS) * 1000),
        ...(json === undefined ? {} : { body: json }),
      });
      text = await response.text();
    } catch (error) {
      const cause = error instanceof Error && error.cause !== undefined ? `: ${words(error.cause)}` : "";
      throw new NotConnected(`${method} ${path}: ${words(error)}${cause}`, { cause: error });
    }
    return readAnswer<T>(response, text, parse);
  }
}

function readAnswer<T>(response: Response, text: string, parse: Parse): T {
  const isJson = response.headers.get("Content-Type")?.includes("json") === true;
  let parsed: unknown;
  try {
    parsed = isJson && text !== "" ? (response.ok ? parse : JSON.parse)(text) : text;
  } catch (error) {
    throw new NotConnected("the answer is cut short", { cause: error });
  }
  if (response.ok) return parsed as T;
  const isBody = typeof parsed === "object" && parsed !== null;
  const error = isBody ? (parsed as ErrorBody) : { message: `status ${response.status}` };
  if (error.code === undefined && GATEWAY.has(response.status)) {
    throw new NotConnected(`status ${response.status}, and not from the service`); // which may have done it
  }
  if (error.code === "precondition_failed") {
    throw new Conflict(error, version(response.headers.get("ETag") ?? error["setup_version"]));
  }
  throw new Refused(error);
}

function version(given: unknown): number | undefined {
  const found = Number.parseInt(String(given).replaceAll('"', ""), 10);
  return Number.isNaN(found) ? undefined : found;
}
