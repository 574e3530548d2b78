// A connection to a server in a few lines: acks, refusals, and what becomes of those who wait when it ends.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { NotConnected, Refused } from "../dist/esm/errors.js";
import { Socket } from "../dist/esm/socket.js";

/** A service that answers the CONNECT with `connect`, and each event with what `answer` makes of it. */
async function connected(t, { connect = '40{"sid":"s"}', answer = () => undefined } = {}) {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  server.on("connection", (peer) => {
    peer.send('0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}');
    peer.on("message", (data) => {
      const text = String(data);
      if (text.startsWith("40")) return peer.send(connect);
      const found = /^42(\d+)(.*)$/.exec(text);
      const ack = found && answer(...JSON.parse(found[2]), peer);
      if (ack !== undefined && ack !== null) peer.send(`43${found[1]}${JSON.stringify([ack])}`);
    });
  });
  const url = `http://127.0.0.1:${server.address().port}`;
  return Socket.connect(url, () => {}, "token", ["websocket"]);
}

test("a call returns its ack, or throws the refusal in it", async (t) => {
  const answer = (event) => (event === "good" ? { ok: true, n: 1 } : event === "bad" ? { ok: false, error: { code: "conflict" } } : 7);
  const socket = await connected(t, { answer });
  t.after(() => socket.close("over"));
  assert.deepEqual(await socket.call("good", {}), { ok: true, n: 1 });
  await assert.rejects(socket.call("bad", {}), (error) => error instanceof Refused && error.code === "conflict");
  await assert.rejects(socket.call("strange", {}), Refused);
});

test("who waits when a connection ends is told, and who asks afterwards at once", async (t) => {
  const socket = await connected(t);
  const waiting = assert.rejects(socket.ask("never", {}), (error) => error instanceof NotConnected && /left/.test(error.message));
  socket.close("left");
  socket.close("again");
  await waiting;
  assert.equal(await socket.closed, "left");
  await assert.rejects(socket.ask("late", {}), NotConnected);
});

test("a connection that the service ends is over", async (t) => {
  const socket = await connected(t, { answer: (_event, _payload, peer) => void peer.close() });
  await assert.rejects(socket.ask("go", {}), NotConnected);
  assert.match(await socket.closed, /transport close/);
});

test("a refused connect says with which error", async (t) => {
  const refused = '44{"message":"no","data":{"code":"not_authenticated","message":"no"}}';
  await assert.rejects(connected(t, { connect: refused }), (error) => error instanceof Refused && error.code === "not_authenticated");
  await assert.rejects(connected(t, { connect: '44{"message":"no"}' }), NotConnected);
});
