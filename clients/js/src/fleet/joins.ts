// The sessions whose clients we are: the service counts them by socket, so each connection joins anew.
import type { Socket } from "../socket.js";

/** Keeps sessions joined over connections. */
export class Joins {
  /** The wanted ones, and whether this connection has joined them, or is about to. */
  readonly #wanted = new Map<string, boolean>();
  #socket: Socket | undefined;

  /** Join a session from now on; one that cannot be joined, such as an archived one, when it has changed. */
  add(sessionId: string): void {
    if (this.#wanted.has(sessionId)) return;
    this.#wanted.set(sessionId, false);
    void this.#join(sessionId);
  }

  /** Leave a session; resolved when the service has taken it, or the connection is over, which leaves as well. */
  async delete(sessionId: string): Promise<void> {
    const wasJoined = this.#wanted.get(sessionId) === true;
    this.#wanted.delete(sessionId);
    if (wasJoined) await this.#socket?.call("leave_session", { session_id: sessionId }).catch(() => undefined);
  }

  /** There is a new connection; undefined: there is none. */
  connected(socket: Socket | undefined): void {
    if (socket === this.#socket) return;
    this.#socket = socket;
    for (const sessionId of this.#wanted.keys()) {
      this.#wanted.set(sessionId, false);
      void this.#join(sessionId);
    }
  }

  /** A session is gone, and its clients with it. */
  removed(sessionId: string): void {
    if (this.#wanted.has(sessionId)) this.#wanted.set(sessionId, false);
  }

  /** A session has changed: perhaps it can be joined now. */
  changed(sessionId: string): void {
    if (this.#wanted.get(sessionId) === false) void this.#join(sessionId);
  }

  async #join(sessionId: string): Promise<void> {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#wanted.set(sessionId, true);
    try {
      await socket.call("join_session", { session_id: sessionId });
    } catch {
      // Not there, or the connection is over: the next change or connection tries again.
      if (socket === this.#socket && this.#wanted.has(sessionId)) this.#wanted.set(sessionId, false);
    }
  }
}
