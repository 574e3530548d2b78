// Devices over connections that a test holds in its hand.
import { Device } from "../../dist/esm/device/device.js";
import { NotConnected } from "../../dist/esm/errors.js";
import { Socket } from "../../dist/esm/socket.js";
import { until } from "../helpers.mjs";

/** The ack of a register. */
export const registered = (more = {}) => ({
  ok: true, last_seq: 0, server_time: Date.now() / 1000, setup: null, setup_version: 0, ...more,
});

/** A device whose connects and registers are answered by these, in turn; the last one for ever. A function answers a register itself. */
export async function deviceOf(t, answers, options = {}) {
  const service = { sockets: [], asked: [], registers: [], urls: [], tokens: [] };
  t.mock.method(Socket, "connect", async (url, onEvent, token) => {
    service.urls.push(url);
    service.tokens.push(token);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    let over;
    const waiting = [];
    const socket = {
      reason: undefined,
      closed: new Promise((resolve) => (over = resolve)),
      call: async (_event, payload) => {
        service.registers.push(payload);
        return typeof answer === "function" ? answer(service.registers.length) : answer;
      },
      sent: [],
      emit: (event, payload) => socket.sent.push([event, payload]),
      ask: (event, payload) =>
        new Promise((resolve, reject) => {
          const asked = { event, payload, answer: resolve, socket };
          service.asked.push(asked);
          waiting.push(reject);
        }),
      close(reason) {
        if (socket.reason !== undefined) return;
        socket.reason = reason;
        for (const reject of waiting) reject(new NotConnected(reason));
        over(reason);
      },
      tell: onEvent,
    };
    service.sockets.push(socket);
    return socket;
  });
  const device = await Device.open(["http://a", "http://b"], "kiosk-7", options);
  t.after(() => device.stop());
  const of = (event) => service.asked.filter((one) => one.event === event);
  return { device: device.start(), service, of };
}

/** Wait until it is online. */
export const online = (device) => until(() => device.state === "online", "online");
