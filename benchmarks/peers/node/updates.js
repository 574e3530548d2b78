// What the peers of Node and Bun do with updates, whichever programs carry them.
"use strict";

const BATCH_MS = 7;
const HISTORY = 100;
const TTL_S = 3600;

/** [[key, value], ...] of either form of the event. */
function samplesOf(event) {
  return event.samples || [[event.key, event.value]];
}

/** Each update by itself: four commands for each sample, then the event to the dashboards, then the ack. */
function oneByOne(redis, send) {
  return async function update(event, ack) {
    const id = event.device_id;
    const pipeline = redis.pipeline();
    for (const [key, value] of samplesOf(event)) {
      const json = JSON.stringify(value);
      const list = `h:${id}:${key}`;
      pipeline.hset(`s:${id}`, key, json).rpush(list, json).ltrim(list, -HISTORY, -1).expire(list, TTL_S);
    }
    await pipeline.exec();
    send("session_data_key_update", event);
    if (ack) ack({ ok: true });
  };
}

/** Writes updates together, with one command for each list; whether Redis took them all. */
async function write(redis, events) {
  const bySession = new Map();
  for (const event of events) {
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
  const results = await pipeline.exec();
  return results.every(([error]) => !error);
}

/** Updates of 7 ms are written together and sent together, each acked as soon as it is there. */
function ackedAtOnce(redis, send) {
  let events = [];
  setInterval(() => {
    if (!events.length) return;
    const updates = events;
    events = [];
    write(redis, updates);
    send("session_data_updates", { updates });
  }, BATCH_MS);
  return function update(event, ack) {
    events.push(event);
    if (ack) ack({ ok: true });
  };
}

/** The same with Muster's promise: acked, and sent to the dashboards, when Redis has them. */
function ackedAfterRedis(redis, send) {
  let events = [];
  let acks = [];
  setInterval(async () => {
    if (!events.length) return;
    const updates = events;
    const waiting = acks;
    events = [];
    acks = [];
    const ok = await write(redis, updates).catch(() => false);
    for (const ack of waiting) ack({ ok });
    if (ok) send("session_data_updates", { updates });
  }, BATCH_MS);
  return function update(event, ack) {
    events.push(event);
    if (ack) acks.push(ack);
  };
}

/** Lets devices and dashboards in. */
function open(io, update) {
  const sessions = new Map();
  io.on("connection", (socket) => {
    socket.on("register", (event, ack) => {
      sessions.set(event.device_id, socket.id);
      if (ack) ack({ ok: true });
    });
    socket.on("register_vue", (event, ack) => {
      socket.join("dashboards");
      if (ack) ack({ ok: true });
    });
    socket.on("update_data", update);
  });
}

module.exports = { oneByOne, ackedAtOnce, ackedAfterRedis, open };
