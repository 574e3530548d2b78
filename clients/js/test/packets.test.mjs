// Packets whose JSON somebody reads in a way of their own.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { WebSocketServer } from "ws";
import { parserOf } from "../dist/esm/packets.js";
import { Socket } from "../dist/esm/socket.js";

function decode(text) {
  const { Decoder } = parserOf(JSON.parse);
  const decoder = new Decoder();
  const found = [];
  decoder.on("decoded", (packet) => found.push(packet));
  decoder.add(text);
  return found;
}

for (const [text, packet] of [
  ['0{"sid":"a"}', { type: 0, nsp: "/", id: undefined, data: { sid: "a" } }],
  ['2["a",{"b":1}]', { type: 2, nsp: "/", id: undefined, data: ["a", { b: 1 }] }],
  ['217["a"]', { type: 2, nsp: "/", id: 17, data: ["a"] }],
  ['39[{"ok":true}]', { type: 3, nsp: "/", id: 9, data: [{ ok: true }] }],
  ["1", { type: 1, nsp: "/", id: undefined, data: undefined }],
  ['4"why"', { type: 4, nsp: "/", id: undefined, data: "why" }],
  ['2/x,3["a"]', { type: 2, nsp: "/x", id: 3, data: ["a"] }],
]) {
  test(`the packet ${text} is read`, () => assert.deepEqual(decode(text), [packet]));
  test(`the packet ${text} is written`, () => {
    const { Encoder } = parserOf(JSON.parse);
    assert.deepEqual(new Encoder().encode(packet), [text]);
  });
}

for (const text of ["", "x", "2", "2{}", "2[1]", '3"a"', '51-["a"]', "0[]", "2[", new Uint8Array(1)]) {
  test(`${JSON.stringify(text)} is no packet`, () => assert.throws(() => decode(text)));
}

test("a connection reads events and acks by the given function", async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  server.on("connection", (socket) => {
    socket.send('0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}');
    socket.on("message", (data) => {
      const text = String(data);
      if (text.startsWith("40")) socket.send('40{"sid":"b"}');
      if (text.startsWith("420")) {
        socket.send('42["told",{"n":9007199254740993}]');
        socket.send('430[{"ok":true,"n":18446744073709551615}]');
      }
    });
  });
  const told = [];
  const parse = (text) => JSON.parse(text.replace(/\d{16,}/g, '"$&"'));
  const url = `http://127.0.0.1:${server.address().port}`;
  const socket = await Socket.connect(url, (...event) => told.push(event.slice(0, 2)), undefined, ["websocket"], parse);
  t.after(() => socket.close("over"));
  assert.equal((await socket.ask("any", {})).n, "18446744073709551615");
  assert.deepEqual(told, [["told", { n: "9007199254740993" }]]);
});
