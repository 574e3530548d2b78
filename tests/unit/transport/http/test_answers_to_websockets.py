"""Requests for websockets that become none are answered as all others are; in a process with patched sockets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes

PROGRAM = r"""
import json, re, sys, warnings
warnings.simplefilter("ignore")
import eventlet; eventlet.monkey_patch()
import logging, socket
from service.transport.http.eventlet_server import start
from service.transport.http.guard import HttpGuard
from service.transport.hub import hub_of
from service.transport.turns import Turns
from service.transport.unauthenticated import UnauthenticatedClients

HEADERS = [("Content-Type", "text/plain")]
logged = []
logging.getLogger("eventlet.wsgi").addHandler(handler := logging.Handler())
handler.emit = lambda record: logged.append(record.getMessage().strip().splitlines()[-1])
logging.getLogger("eventlet.wsgi").setLevel(logging.INFO)

class Closing(list):
    def close(self):
        logged.append("closed")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise ValueError("on purpose")
    if path == "/nothing":
        return []
    if path == "/timeout":
        raise eventlet.Timeout(None)
    if path == "/empty":
        start_response("204 No Content", [])
        return []
    if path == "/close":
        start_response("400 Bad Request", [*HEADERS, ("Connection", "close")])
        return [b"bad"]
    start_response("200 OK", HEADERS)
    if path == "/late":
        raise ValueError("later")
    if path == "/twice":
        try:
            raise ValueError("then")
        except ValueError:
            start_response("500 Other", [*HEADERS, ("X", "y")], sys.exc_info())
    if path == "/parts":
        return (part for part in (b"one", b"", b"two"))
    if path == "/broken":
        return (1 / 0 for _ in range(1))
    return Closing([b"here"])

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen(50)
guard = HttpGuard(UnauthenticatedClients(), Turns(hub_of("eventlet")), lambda why: None)
start(listening, app, guard, 100)

def ask(path, method, more):
    logged.clear()
    client = socket.create_connection(listening.getsockname())
    client.settimeout(20)
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n"
    client.sendall((head + head.replace(path, "/last").replace(method, "GET")).encode())
    client.shutdown(socket.SHUT_WR)
    said = b""
    while piece := client.recv(65536):
        said += piece
    return [re.sub(r"Date: [^\r]*", "Date", said.decode()), list(logged)]

paths = ["/", "/raises", "/nothing", "/timeout", "/empty", "/close", "/late", "/twice", "/parts", "/broken"]
found = {}
for path in paths:
    for method in ("GET", "HEAD", "POST"):
        found[f"{method} {path}"] = [
            ask(path, method, more)
            for more in ("", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "Upgrade: h2c\r\n")
        ]
print(json.dumps([found, guard.under_way]))
"""


def test_request_for_a_websocket_is_answered_as_one_without_is() -> None:
    """Whatever an application does: its answers, in parts or broken off, its errors and how they are logged."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    found, under_way = json.loads(ran.stdout)
    for asked, (usual, *others) in found.items():
        assert "HTTP/1.1 " in usual[0], asked
        assert others == [usual, usual], asked
    assert under_way == 0
    assert len({said for (said, _), *_ in found.values()}) >= 8
