// Fleets over connections that a test holds in its hand.
import { NotConnected } from "../../dist/esm/errors.js";
import { Fleet } from "../../dist/esm/fleet/fleet.js";
import { Socket } from "../../dist/esm/socket.js";

export const counts = { active: 2, inactive: 0, archived: 0 };
export const one = (id, more = {}) => ({ session_id: id, state: "active", rev: 1, ...more });
export const page = (sessions, more = {}) => ({
  ok: true, recovered: false, cursor: "c1", counts, active: sessions, inactive: [], ...more,
});

/** A fleet whose connections answer `register_vue` with these, in turn; undefined: never. */
export function fleetOf(t, answers, options = {}, urls = ["http://a", "http://b"]) {
  const service = { sockets: [], asked: [], urls: [], tokens: [] };
  t.mock.method(Socket, "connect", async (url, onEvent, token) => {
    service.urls.push(url);
    service.tokens.push(token);
    let over;
    const socket = {
      reason: undefined,
      closed: new Promise((resolve) => (over = resolve)),
      emit: onEvent,
      async call(_event, request) {
        service.asked.push(request);
        const answer = answers.shift();
        if (answer instanceof Error) throw answer;
        return answer ?? new Promise((_, reject) => void socket.closed.then((reason) => reject(new NotConnected(reason))));
      },
      close(reason) {
        this.reason ??= reason;
        over(this.reason);
      },
    };
    service.sockets.push(socket);
    return socket;
  });
  const fleet = new Fleet(urls, options);
  t.after(() => fleet.stop());
  return { fleet: fleet.start(), service };
}
