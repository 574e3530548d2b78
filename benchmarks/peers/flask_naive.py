"""A Flask-SocketIO node as its documentation has it: flask_naive.py <port> <port of Redis>.

Eventlet, a message queue for the other nodes, and per update a pipeline of four commands, the event to
the dashboards, the ack.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # eventlet announces its retirement
    import eventlet

    eventlet.monkey_patch()

import json
import sys
from typing import Any

import redis
from flask import Flask, request
from flask_socketio import SocketIO, join_room

PORT, REDIS_PORT = map(int, sys.argv[1:])
#: More connections than redis-py's 100: each update under way takes one, and none shall be lost.
URL = f"redis://127.0.0.1:{REDIS_PORT}/0?max_connections=5000"
HISTORY, TTL_S = 100, 3600

app = Flask(__name__)
socketio = SocketIO(app, async_mode="eventlet", message_queue=URL)
store = redis.Redis.from_url(URL)
sessions: dict[str, str] = {}


@socketio.on("register")
def register(event: dict[str, Any]) -> dict[str, Any]:
    sessions[event["device_id"]] = request.sid  # type: ignore[attr-defined]
    return {"ok": True}


@socketio.on("register_vue")
def register_vue(event: dict[str, Any]) -> dict[str, Any]:
    join_room("dashboards")
    return {"ok": True}


@socketio.on("update_data")
def update_data(event: dict[str, Any]) -> dict[str, Any]:
    session_id = event["device_id"]
    pipeline = store.pipeline(transaction=False)
    for key, value in event.get("samples") or [(event["key"], event["value"])]:
        text, history = json.dumps(value), f"h:{session_id}:{key}"
        pipeline.hset(f"s:{session_id}", key, text)
        pipeline.rpush(history, text)
        pipeline.ltrim(history, -HISTORY, -1)
        pipeline.expire(history, TTL_S)
    pipeline.execute()
    socketio.emit("session_data_key_update", event, to="dashboards")
    return {"ok": True}


if __name__ == "__main__":
    socketio.run(app, host="127.0.0.1", port=PORT, log_output=False)
