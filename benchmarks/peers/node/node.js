// Node's socket.io as a session service: node node.js <port> <port of Redis> redis|streams|batched|acked
//
// redis    each update is written to Redis by a pipeline of four commands, then sent to the dashboards of
//          all nodes through @socket.io/redis-adapter, then acked
// streams  the same through @socket.io/redis-streams-adapter
// batched  what Muster does, done with socket.io: updates are collected, written to Redis every 7 ms
//          with one command per list, and sent to the dashboards every 7 ms as one event. It acks at
//          once, before Redis has the update: a smaller promise than Muster's, and the cheapest for it.
// acked    the same, but acked and sent to the dashboards when Redis has the update, as Muster does
//
// All have bufferutil (unmasking in C), no compression, and ioredis, which was faster than redis.
"use strict";

const http = require("http");
const Redis = require("ioredis");
const { Server } = require("socket.io");
const { oneByOne, ackedAtOnce, ackedAfterRedis, open } = require("./updates");

const [port, redisPort, kind] = process.argv.slice(2);

const redis = new Redis(Number(redisPort), "127.0.0.1");

function adapter() {
  if (kind === "streams") return require("@socket.io/redis-streams-adapter").createAdapter(redis.duplicate());
  return require("@socket.io/redis-adapter").createAdapter(redis.duplicate(), redis.duplicate());
}

const server = http.createServer();
const io = new Server(server, { adapter: adapter(), perMessageDeflate: false, serveClient: false });
const handlers = { redis: oneByOne, streams: oneByOne, batched: ackedAtOnce, acked: ackedAfterRedis };
open(io, handlers[kind](redis, (name, event) => io.to("dashboards").emit(name, event)));

server.listen(Number(port), "127.0.0.1", 16384);
