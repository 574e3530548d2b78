// Where the next connection goes: addresses in turn, and transports in turn where one does not get through.
import { NotConnected } from "./errors.js";
import type { Parse } from "./packets.js";
import { Socket, type OnEvent, type Transport } from "./socket.js";
import { currentToken, type Token } from "./tokens.js";

export interface ConnectOptions {
  /** Shown to the service. */
  token?: Token;
  /**
   * `["websocket"]` if left out. With `["websocket", "polling"]`, long-polling is used where no websocket gets
   * through; a balancer in front of several nodes has to be sticky then.
   */
  transports?: readonly Transport[];
  /** Reads the JSON of events and acks, instead of `JSON.parse`, which rounds integers beyond 2^53. */
  parse?: Parse;
}

/** Makes connections to one service. */
export class Connector {
  #urls: string[];
  readonly #token: Token | undefined;
  readonly #transports: Transport[];
  readonly #parse: Parse | undefined;
  readonly #given: ReadonlySet<string>;
  #failed = 0; // connects in a row

  constructor(urls: string | readonly string[], { token, transports = ["websocket"], parse }: ConnectOptions) {
    this.#urls = typeof urls === "string" ? [urls] : [...urls];
    if (this.#urls.length === 0) throw new TypeError("give at least one address");
    for (const url of this.#urls) new URL(url); // throws what is wrong with it
    this.#given = new Set(this.#urls.map(bare));
    this.#token = token;
    this.#transports = [...transports];
    this.#parse = parse;
  }

  /** The address of the next connection, or of this one. */
  get url(): string {
    return this.#urls[0] as string;
  }

  /** Take where else the service is; what was named before and is not now is not there any more. */
  learn(nodes: unknown): void {
    if (!Array.isArray(nodes)) return;
    const isTls = this.url.startsWith("https:") || this.url.startsWith("wss:");
    const fits = (url: unknown): url is string =>
      typeof url === "string" && URL.canParse(url) && (!isTls || url.startsWith("https:")); // the token goes there too
    const named = new Set(nodes.filter(fits).map(bare));
    const [present, ...others] = this.#urls as [string, ...string[]];
    const kept = others.filter((url) => this.#given.has(bare(url)) || named.has(bare(url)));
    for (const url of [present, ...kept]) named.delete(bare(url));
    this.#urls = [present, ...kept, ...named];
  }

  /** Take the next address for the next connection. */
  next(): void {
    this.#urls.push(this.#urls.shift() as string);
  }

  /** All addresses, the present one first. */
  get urls(): readonly string[] {
    return [...this.#urls];
  }

  /**
   * Connect, with a token that is asked for now.
   * @throws NotConnected, Refused: see `Socket.connect`.
   */
  async connect(onEvent: OnEvent): Promise<{ socket: Socket; token: string | undefined }> {
    const token = await currentToken(this.#token);
    try {
      const socket = await Socket.connect(this.url, onEvent, token, this.#transports, this.#parse);
      this.#failed = 0;
      return { socket, token };
    } catch (error) {
      if (error instanceof NotConnected) this.#note();
      throw error;
    }
  }

  /** After every address failed by one transport, the other is tried first. */
  #note(): void {
    this.#failed += 1;
    if (this.#failed % this.#urls.length === 0) this.#transports.push(this.#transports.shift() as Transport);
  }
}

function bare(url: string): string {
  return url.replace(/\/+$/, "");
}
