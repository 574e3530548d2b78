"""python-socketio on uvicorn, as its documentation has it: asgi_naive.py <port> <port of Redis>.

uvloop, httptools, websockets without compression; a Redis manager for the other nodes, and per update a
pipeline of four commands, the event to the dashboards, the ack.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import redis.asyncio
import socketio
import uvicorn

PORT, REDIS_PORT = map(int, sys.argv[1:])
#: More connections than redis-py's 100: each update under way takes one, and none shall be lost.
URL = f"redis://127.0.0.1:{REDIS_PORT}/0?max_connections=5000"
HISTORY, TTL_S = 100, 3600

server = socketio.AsyncServer(async_mode="asgi", client_manager=socketio.AsyncRedisManager(URL))
store = redis.asyncio.Redis.from_url(URL)
sessions: dict[str, str] = {}


@server.on("register")
async def register(sid: str, event: dict[str, Any]) -> dict[str, Any]:
    sessions[event["device_id"]] = sid
    return {"ok": True}


@server.on("register_vue")
async def register_vue(sid: str, event: dict[str, Any]) -> dict[str, Any]:
    await server.enter_room(sid, "dashboards")
    return {"ok": True}


@server.on("update_data")
async def update_data(sid: str, event: dict[str, Any]) -> dict[str, Any]:
    session_id = event["device_id"]
    pipeline = store.pipeline(transaction=False)
    for key, value in event.get("samples") or [(event["key"], event["value"])]:
        text, history = json.dumps(value), f"h:{session_id}:{key}"
        pipeline.hset(f"s:{session_id}", key, text)
        pipeline.rpush(history, text)
        pipeline.ltrim(history, -HISTORY, -1)
        pipeline.expire(history, TTL_S)
    await pipeline.execute()
    await server.emit("session_data_key_update", event, to="dashboards")
    return {"ok": True}


if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(server),
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        http="httptools",
        ws="websockets",
        ws_per_message_deflate=False,
        log_level="error",
    )
