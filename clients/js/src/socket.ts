// One Socket.IO connection: made, used, and over. Whoever needs another one makes another one.
import { io, type Socket as IoSocket } from "socket.io-client";
import { NotConnected, Refused, type ErrorBody } from "./errors.js";
import { parserOf, type Parse } from "./packets.js";
import { LONGEST_MS, Timer } from "./time.js";

/** Sends the ack of an event; undefined: an ack without content. */
export type Reply = (answer?: unknown) => void;
export type OnEvent = (event: string, payload: unknown, reply: Reply | undefined) => void;
export type Transport = "websocket" | "polling";

export interface Answer {
  ok?: boolean;
  error?: ErrorBody;
  [field: string]: unknown;
}

/** Why there is no connection: the service's answer, or what the transport says, which Node.js describes. */
interface ConnectError extends Error {
  readonly data?: unknown;
  readonly description?: { readonly message?: unknown } | number;
}

type Engine = IoSocket["io"]["engine"];

const CONNECT_S = 15;
const ANSWER_S = 30;

/** A connection to the namespace `/`; made by `Socket.connect`. */
export class Socket {
  /** Resolved with the reason when the connection is over. */
  readonly closed: Promise<string>;
  /** The same, once it is over. */
  reason: string | undefined;
  readonly #waiting = new Set<(error: NotConnected) => void>();
  #over!: (reason: string) => void;

  private constructor(private readonly io: IoSocket) {
    this.closed = new Promise((resolve) => (this.#over = resolve));
    io.on("disconnect", (reason) => this.close(`the connection ended (${reason})`));
  }

  /**
   * Connect.
   * @throws NotConnected: it could not be done in time. Refused: the service refused, with its error.
   */
  static connect(
    url: string,
    onEvent: OnEvent,
    token: string | undefined,
    transports: readonly Transport[],
    parse?: Parse,
  ): Promise<Socket> {
    const { protocol, host, pathname } = new URL(url);
    const made = io(`${protocol}//${host}`, {
      path: `${pathname.replace(/\/+$/, "")}/socket.io/`, // what follows the host would name a namespace
      transports: [...transports],
      auth: token === undefined ? {} : { token },
      reconnection: false,
      forceNew: true,
      autoConnect: false,
      timeout: CONNECT_S * 1000,
      ...(parse === undefined ? {} : { parser: parserOf(parse) }),
    });
    const socket = new Socket(made);
    made.onAny((event: string, ...rest: unknown[]) => {
      const last = rest.at(-1);
      const reply = typeof last === "function" ? (last as (...answer: unknown[]) => void) : undefined;
      try {
        onEvent(event, rest[0], reply && ((answer) => (answer === undefined ? reply() : reply(answer))));
      } catch (error) {
        // An event that is not understood must not cost the connection.
        console.warn(`muster-client: the event ${event} could not be handled`, error);
      }
    });
    return new Promise((resolve, reject) => {
      const timer = new Timer(CONNECT_S, () => fail(new NotConnected(`${url}: no answer to the connect`)));
      const fail = (error: Error): void => {
        timer.stop();
        socket.close("not connected");
        reject(error);
      };
      made.once("connect", () => {
        timer.stop();
        resolve(socket);
      });
      made.once("connect_error", (error: ConnectError) => {
        const { data } = error;
        const isRefused = typeof data === "object" && data !== null && "code" in data;
        fail(isRefused ? new Refused(data as ErrorBody) : new NotConnected(`${url}: ${reasonOf(error)}`));
      });
      socket.closed.then((reason) => fail(new NotConnected(`${url}: ${reason}`)));
      made.connect();
      endWhenSilent(made.io.engine, socket);
    });
  }

  /** Send an event without an ack; nothing happens when the connection is over. */
  emit(event: string, payload: unknown): void {
    if (this.reason === undefined) this.io.emit(event, payload);
  }

  /**
   * Send an event; return its ack.
   * @throws NotConnected: the connection ended first.
   */
  ask(event: string, payload: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.reason !== undefined) {
        reject(new NotConnected(this.reason));
        return;
      }
      this.#waiting.add(reject);
      this.io.emit(event, payload, (answer: unknown) => {
        this.#waiting.delete(reject);
        resolve(typeof answer === "object" && answer !== null ? (answer as Answer) : {});
      });
    });
  }

  /**
   * Send an event; return its ack, which is `ok`.
   * @throws Refused: it is not. NotConnected: the connection ended first, or no ack came in time.
   */
  async call<T>(event: string, payload: unknown): Promise<T> {
    const late = new Timer(ANSWER_S, () => this.close(`no answer to ${event} within ${ANSWER_S} s`));
    try {
      const answer = await this.ask(event, payload);
      if (answer.ok !== true) throw new Refused(answer.error ?? {});
      return answer as T;
    } finally {
      late.stop();
    }
  }

  /** End the connection, once; whoever waits for an answer gets `NotConnected`. */
  close(reason: string): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.io.disconnect();
    // A handshake that is under way is not ended by that.
    this.io.io.engine?.close();
    for (const reject of this.#waiting) reject(new NotConnected(reason));
    this.#waiting.clear();
    this.#over(reason);
  }
}

/**
 * End a connection on which nothing came for ping interval and ping timeout. The library counts only pings, and on
 * a slow line these wait behind all that was sent before them: it is given a time that is never over.
 */
function endWhenSilent(engine: Engine, socket: Socket): void {
  let heardAt = performance.now();
  engine.on("packet", () => (heardAt = performance.now()));
  engine.once("handshake", (handshake) => {
    const silenceS = (handshake.pingInterval + handshake.pingTimeout) / 1000;
    handshake.pingTimeout = LONGEST_MS - handshake.pingInterval;
    const look = (): void => {
      const leftS = silenceS - (performance.now() - heardAt) / 1000;
      if (leftS > 0) timer = new Timer(leftS, look);
      else socket.close(`nothing was heard for ${silenceS} s`);
    };
    let timer = new Timer(silenceS, look);
    void socket.closed.then(() => timer.stop());
  });
}

function reasonOf({ message, description }: ConnectError): string {
  const more = typeof description === "object" ? description.message : description;
  return more === undefined || more === "" || more === 0 ? message : `${message}: ${String(more)}`;
}
