// Where a connection goes: a server in a few lines says what was asked for.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { Connector } from "../dist/esm/connector.js";
import { Socket } from "../dist/esm/socket.js";

/** A server that refuses everything, and the requests that it got. */
async function refusing(t) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(new URL(request.url, "http://x"));
    response.writeHead(403).end();
  });
  server.on("upgrade", (request, socket) => {
    asked.push(new URL(request.url, "http://x"));
    socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { asked, url: `http://127.0.0.1:${server.address().port}` };
}

test("what follows the host is a prefix of the path, not a namespace", async (t) => {
  const { asked, url } = await refusing(t);
  const connector = new Connector(`${url}/fleet/`, {});
  await assert.rejects(connector.connect(() => {}), { code: "not_connected", message: /403/ });
  assert.equal(asked[0].pathname, "/fleet/socket.io/");
});

test("where no websocket gets through to any address, the next attempt is by polling", async (t) => {
  const { asked, url } = await refusing(t);
  const connector = new Connector([url, url], { transports: ["websocket", "polling"] });
  for (let attempt = 0; attempt < 4; attempt += 1) await assert.rejects(connector.connect(() => {}));
  const transports = asked.map((one) => one.searchParams.get("transport"));
  assert.deepEqual(transports, ["websocket", "websocket", "polling", "polling"]);
});

test("a token function that fails is no connection, and is told", async () => {
  const token = () => Promise.reject(new Error("the vault is shut"));
  const connector = new Connector("http://127.0.0.1:1", { token });
  await assert.rejects(connector.connect(() => {}), { code: "not_connected", message: /the vault is shut/ });
});

test("an address that is none is told at once", () => {
  assert.throws(() => new Connector("kiosk", {}), TypeError);
  assert.throws(() => new Connector([], {}), TypeError);
});

test("whatever comes is a sign of life, not only pings; silence is the end", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  let left = 40;
  server.on("connection", (peer) => {
    peer.send('0{"sid":"s","upgrades":[],"pingInterval":50,"pingTimeout":50,"maxPayload":1000}');
    peer.on("message", () => peer.send('40{"sid":"s"}'));
    const timer = setInterval(() => {
      peer.send('42["note",1]');
      left -= 1;
      if (left === 0) clearInterval(timer);
    }, 10);
  });
  let heard = 0;
  const url = `http://127.0.0.1:${server.address().port}`;
  const socket = await Socket.connect(url, () => (heard += 1), undefined, ["websocket"]);
  assert.equal(await socket.closed, "nothing was heard for 0.1 s");
  assert.equal(heard, 40);
});
