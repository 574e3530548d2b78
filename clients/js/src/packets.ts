// Socket.IO's packets for those who read JSON in their own way. This protocol has one namespace, and no binary data.

/** Reads JSON; `JSON.parse` rounds integers beyond 2^53. */
export type Parse = (text: string) => unknown;

interface Packet {
  readonly type: number;
  readonly nsp: string;
  readonly id?: number | undefined;
  readonly data?: unknown;
}

type Listener = (packet: Packet) => void;

const CONNECT = 0;
const EVENT = 2;
const ACK = 3;
/** Type, namespace where it is not `/`, id of an ack. */
const HEAD = /^([0-4])(?:(\/[^,]*),?)?(\d*)/;

class Encoder {
  encode({ type, nsp, id, data }: Packet): string[] {
    return [`${type}${nsp === "/" ? "" : `${nsp},`}${id ?? ""}${data === undefined ? "" : JSON.stringify(data)}`];
  }
}

function decoded(text: unknown, parse: Parse): Packet {
  const head = typeof text === "string" ? HEAD.exec(text) : null;
  if (head === null) throw new Error("no packet of this protocol");
  const [start, type, nsp = "/", id] = head;
  const rest = (text as string).slice(start.length);
  const data = rest === "" ? undefined : parse(rest);
  const packet = { type: Number(type), nsp, id: id === "" ? undefined : Number(id), data };
  const isList = Array.isArray(data);
  const fits =
    packet.type === EVENT ? isList && typeof data[0] === "string"
    : packet.type === ACK ? isList
    : packet.type !== CONNECT || data === undefined || (typeof data === "object" && data !== null && !isList);
  if (!fits) throw new Error("a packet without what belongs into it");
  return packet;
}

/** Return a parser as Socket.IO takes it. */
export function parserOf(parse: Parse): { Encoder: typeof Encoder; Decoder: new () => object } {
  class Decoder {
    readonly #listeners = new Set<Listener>();

    on(_event: "decoded", listener: Listener): void {
      this.#listeners.add(listener);
    }

    off(_event: "decoded", listener: Listener): void {
      this.#listeners.delete(listener);
    }

    /** Take what came; what is no packet ends the connection. */
    add(text: unknown): void {
      const packet = decoded(text, parse);
      for (const listener of this.#listeners) listener(packet);
    }

    destroy(): void {
      // Nothing waits for a second part.
    }
  }
  return { Encoder, Decoder };
}
