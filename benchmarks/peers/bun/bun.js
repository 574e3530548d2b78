// Socket.IO on Bun's own server as a session service: bun bun.js <port> <port of Redis>
//
// Updates are collected and written every 7 ms, and acked and sent to the dashboards when Redis has them, as by
// `acked` of node.js; the websockets are Bun's, by @socket.io/bun-engine.
import { Server as Engine } from "@socket.io/bun-engine";
import { createAdapter } from "@socket.io/redis-adapter";
import Redis from "ioredis";
import { Server } from "socket.io";
import { ackedAfterRedis, open } from "../node/updates.js";

const [port, redisPort] = process.argv.slice(2);

const redis = new Redis(Number(redisPort), "127.0.0.1");
const io = new Server({ adapter: createAdapter(redis.duplicate(), redis.duplicate()), serveClient: false });
const engine = new Engine({ path: "/socket.io/" });
io.bind(engine);
open(
  io,
  ackedAfterRedis(redis, (name, event) => io.to("dashboards").emit(name, event)),
);

Bun.serve({ ...engine.handler(), hostname: "127.0.0.1", port: Number(port) });
