"""A small node for the transport's tests: real sockets, the real dispatcher, no Redis.

A fork that `socket_nodes.Node` asks for; tests talk to it as clients do and read its figures at `/figures`. The road
is `fast`, `ordinary`, or `untried`: fast, but with another version of a library than was written for.
"""

from __future__ import annotations

import sys

#: How long an HTTP connection of this node may be silent, s; a real one's has a minute.
SILENT_S = 2.0


def main() -> None:
    async_mode, port, max_pending_bytes, road, certificate, *pings = sys.argv[1:]
    ping_interval_s, ping_timeout_s = map(float, pings)

    import gc
    import json
    import logging
    import os
    import resource
    import time
    from collections import deque

    import flask
    import flask_socketio
    import greenlet

    from service.errors import ServiceError
    from service.live.queue.acks import PendingAcks
    from service.native import Reader, find_native
    from service.node import http_server
    from service.observability.metrics import Metrics
    from service.schema.samples import feed_head
    from service.sockets.dispatch import LATER, Call, Dispatcher, Peer
    from service.sockets.events import payloads
    from service.tasks import ThreadTasks
    from service.transport.connection import event_frame
    from service.transport.http import reader
    from service.transport.http.guard import HttpGuard
    from service.transport.hub import hub_of
    from service.transport.turns import Turns
    from service.transport.unauthenticated import UnauthenticatedClients
    from service.transport.upstream import WRITTEN_FOR, EngineConnections, server_options

    reader.KEEP_ALIVE_S = SILENT_S
    if road == "untried":
        WRITTEN_FOR[async_mode] = "0.0"
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    app = flask.Flask("socket_node")
    options = server_options(async_mode, ping_interval_s, ping_timeout_s, 1 << 20)
    server = flask_socketio.SocketIO(app, cors_allowed_origins="*", **options)
    acks = PendingAcks(60)  # numbers them as the message queue of a node does
    server.server.manager.callbacks = acks.by_sid
    server.server.manager._generate_ack_id = acks.add
    metrics, tasks = Metrics(), ThreadTasks()
    connections = EngineConnections(
        server.server,
        node_token="testtoken1",
        max_pending_bytes=int(max_pending_bytes),
        counts=metrics,
        connect_timeout_s=2.0,
        upgrade_timeout_s=3.0,
        fast_path=road != "ordinary",
        max_sockets=400,
    )
    module = find_native("auto")
    if (
        module is not None and async_mode == "eventlet"
    ):  # the frames of the other are read in Python
        connections.reader = Reader(
            module,
            max_bytes=1 << 20,
            max_value_bytes=1 << 16,
            now=lambda: b"0",
            head=feed_head,
        )
    dispatcher = Dispatcher(connections, tasks, metrics)
    ended: deque[list[str]] = deque(maxlen=5000)  # bounded, so that what grows is not the test
    seen: deque[object] = deque(maxlen=5000)

    def slow(call: Call) -> dict[str, object]:
        seen.append(["slow begins", call.sid])
        tasks.sleep(call.payload["s"])
        seen.append(["slow ends", call.sid])
        return {"slept": call.payload["s"]}

    def update(call: Call) -> object:
        read = payloads.parse_update(call.payload, time.time())
        seen.append([read.samples[0][0], flask.has_request_context()])
        tasks.spawn(call.reply, {"rev": len(seen), "count": len(read.samples)})
        return LATER

    def flood(call: Call) -> dict[str, object]:
        frame = event_frame("f", b'"' + b"x" * call.payload["bytes"] + b'"')
        most = 0
        for _ in range(call.payload["frames"]):
            connections.send(call.sid, frame)
            most = max(most, connections.backlog_bytes(call.sid))
            if call.payload.get("pause"):
                tasks.sleep(0)
        return {"most": most}

    def flood_and_close(call: Call) -> object:
        flood(call)
        call.reply({"last": True})
        connections.close(call.sid, event_frame("bye", b"{}"), call.payload["reason"])
        return LATER

    def ask(call: Call) -> object:
        def answered(arguments: list[object] | ServiceError) -> None:
            is_error = isinstance(arguments, ServiceError)
            call.reply({"arguments": arguments.body()["code"] if is_error else arguments})

        dispatcher.request(call.sid, "question", b'{"a":1}', answered)
        return LATER

    def ask_upstream(call: Call) -> object:
        def answered(*arguments: object) -> None:
            call.reply({"arguments": list(arguments)})

        server.server.emit("question", {"a": 1}, to=call.sid, callback=answered)
        return LATER

    def count(call: Call) -> None:
        """Numbers from 0 on, a few at a time."""
        for number in range(call.payload):
            connections.send(call.sid, event_frame("n", b"%d" % number))
            if number % 3 == 2:
                tasks.sleep(0.001)

    def hold(call: Call) -> None:
        def release() -> None:
            tasks.sleep(call.payload)
            seen.append(["released", len(seen)])
            connections.release(call.sid)

        connections.hold(call.sid)
        tasks.spawn(release)

    def note(call: Call) -> dict[str, object]:
        seen.append(["note", call.payload])
        return {}

    def fail(call: Call) -> None:
        raise RuntimeError("a secret")

    def gone(peer: Peer, reason: str) -> None:
        ended.append([peer.sid, reason])

    dispatcher.on("echo", lambda call: {"echo": call.payload}, inline=True)
    dispatcher.on("update_data", update, inline=True)
    dispatcher.on("slow", slow)
    dispatcher.on("count", count)
    dispatcher.on("hold", hold, inline=True)
    dispatcher.on("note", note, inline=True)
    dispatcher.on("flood", flood)
    dispatcher.on("flood_and_close", flood_and_close)
    dispatcher.on("ask", ask)
    dispatcher.on("ask_upstream", ask_upstream)
    dispatcher.on("fail", fail)
    dispatcher.on("whoami", lambda call: {"sid": call.sid, "address": call.peer.address})
    dispatcher.on("room", lambda call: server.server.enter_room(call.sid, call.payload))
    dispatcher.on("to_room", lambda call: server.server.emit("r", call.payload, room="room"))
    dispatcher.on(
        "close",
        lambda call: connections.close(
            call.payload["sid"], event_frame("last", b'{"bye":1}'), call.payload["reason"]
        ),
    )
    dispatcher.on(
        "send_to",
        lambda call: connections.send(
            call.payload["sid"], event_frame("sent", json.dumps(call.payload["value"]).encode())
        ),
        inline=True,
    )
    dispatcher.on("disconnect_sid", lambda call: server.server.disconnect(call.payload))
    dispatcher.on_disconnect(gone)
    connections.serve(dispatcher)

    @app.get("/figures")
    def figures() -> dict[str, object]:
        gc.collect()
        return {
            "engine_sockets": len(server.server.eio.sockets),
            "sids": connections.sids(),
            "peers": len(dispatcher.peers),
            "environs": len(server.server.environ),
            "rooms": len(server.server.manager.rooms.get("/", {})),
            "ended": list(ended),
            "seen": list(seen),
            "bad_input": metrics.bad_input.values,
            "errors": metrics.errors.values,
            "events": metrics.events.values,
            "slow_clients": metrics.slow_clients.values,
            "polls": sum(
                getattr(socket.queue, "_asleep", False)
                for socket in server.server.eio.sockets.values()
            ),
            "posts": sum(
                getattr(socket, "posting", None) is not None
                for socket in server.server.eio.sockets.values()
            ),
            "road": "ordinary" if connections.event_loop is None else "fast",
            "reads": connections.read_by,
            "max_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }

    @app.get("/leftovers")
    def leftovers() -> dict[str, object]:
        garbage = gc.collect()
        alive = [one for one in gc.get_objects() if isinstance(one, greenlet.greenlet)]
        return {
            "garbage": garbage,
            "greenlets": sum(not one.dead for one in alive),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "rss_kib": int(open("/proc/self/statm").read().split()[1])
            * (resource.getpagesize() // 1024),
            "links": sum(type(one).__name__ == "Link" for one in gc.get_objects()),
            "sockets": sum(type(one).__name__ == "NodeSocket" for one in gc.get_objects()),
        }

    gc.collect()
    gc.freeze()  # what is there before the first client is looked at never again
    gc.disable()  # tests ask for it, and count what it finds
    if certificate:  # the libraries' own web server
        tls = {"certfile": certificate, "keyfile": certificate}
        server.run(app, **tls, host="127.0.0.1", port=int(port), log_output=False)
    else:
        bounds = HttpGuard(UnauthenticatedClients(), Turns(hub_of(async_mode)), lambda why: None)
        http_server._start(async_mode, http_server.bind("127.0.0.1", int(port)), app, bounds)
        while True:
            time.sleep(60)
