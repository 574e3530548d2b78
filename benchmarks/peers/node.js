// Node's socket.io as a session service: node node.js <port> <port of Redis> redis|streams|batched
//
// redis    each update is written to Redis by a pipeline of four commands, then sent to the dashboards of
//          all nodes through @socket.io/redis-adapter, then acked
// streams  the same through @socket.io/redis-streams-adapter
// batched  what Muster does, done with socket.io: updates are collected, written to Redis every 10 ms
//          with one command per list, and sent to the dashboards every 10 ms as one event. It acks at
//          once, before Redis has the update: a smaller promise than Muster's, and the cheapest for it.
//
// All have bufferutil (unmasking in C), no compression, and ioredis, which was faster than redis.
"use strict";

const http = require("http");
const Redis = require("ioredis");
const { Server } = require("socket.io");

const [port, redisPort, kind] = process.argv.slice(2);
const BATCH_MS = 10;
const HISTORY = 100;
const TTL_S = 3600;

const redis = new Redis(Number(redisPort), "127.0.0.1");

function adapter() {
  if (kind === "streams") return require("@socket.io/redis-streams-adapter").createAdapter(redis.duplicate());
  return require("@socket.io/redis-adapter").createAdapter(redis.duplicate(), redis.duplicate());
}

const server = http.createServer();
const io = new Server(server, { adapter: adapter(), perMessageDeflate: false, serveClient: false });
const sessions = new Map();

/** [[key, value], ...] of either form of the event. */
function samplesOf(event) {
  return event.samples || [[event.key, event.value]];
}

// -- each update by itself --

async function store(id, samples) {
  const pipeline = redis.pipeline();
  for (const [key, value] of samples) {
    const json = JSON.stringify(value);
    const list = `h:${id}:${key}`;
    pipeline.hset(`s:${id}`, key, json).rpush(list, json).ltrim(list, -HISTORY, -1).expire(list, TTL_S);
  }
  await pipeline.exec();
}

async function update(event, ack) {
  const id = event.device_id;
  await store(id, samplesOf(event));
  io.to("dashboards").emit("session_data_key_update", event);
  if (ack) ack({ ok: true });
}

// -- together --

let toStore = [];
let toSend = [];

function collect(event, ack) {
  toStore.push(event);
  toSend.push(event);
  if (ack) ack({ ok: true });
}

function storeAll() {
  if (!toStore.length) return;
  const bySession = new Map();
  for (const event of toStore) {
    const id = event.device_id;
    let byKey = bySession.get(id);
    if (!byKey) bySession.set(id, (byKey = new Map()));
    for (const [key, value] of samplesOf(event)) {
      const json = JSON.stringify(value);
      const values = byKey.get(key);
      if (values) values.push(json);
      else byKey.set(key, [json]);
    }
  }
  toStore = [];
  const pipeline = redis.pipeline();
  for (const [id, byKey] of bySession) {
    const latest = [];
    for (const [key, values] of byKey) {
      const list = `h:${id}:${key}`;
      latest.push(key, values[values.length - 1]);
      pipeline.rpush(list, ...values).ltrim(list, -HISTORY, -1).expire(list, TTL_S);
    }
    pipeline.hset(`s:${id}`, ...latest);
  }
  pipeline.exec();
}

function sendAll() {
  if (!toSend.length) return;
  const updates = toSend;
  toSend = [];
  io.to("dashboards").emit("session_data_updates", { updates });
}

if (kind === "batched") {
  setInterval(storeAll, BATCH_MS);
  setInterval(sendAll, BATCH_MS);
}

// -- doors --

io.on("connection", (socket) => {
  socket.on("register", (event, ack) => {
    sessions.set(event.device_id, socket.id);
    if (ack) ack({ ok: true });
  });
  socket.on("register_vue", (event, ack) => {
    socket.join("dashboards");
    if (ack) ack({ ok: true });
  });
  socket.on("update_data", kind === "batched" ? collect : update);
});

server.listen(Number(port), "127.0.0.1", 16384);
