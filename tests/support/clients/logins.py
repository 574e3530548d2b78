"""Tokens for tests, nodes that have a login, and clients that show tokens."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from service.security.tokens import Tokens
from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, NodeProcess
from tests.support.nodes.shared_pair import running_pair

SECRET = "not-a-secret-but-long-enough-for-tests-0123456789"
TOKENS = Tokens(SECRET, time.time)
LOGIN = {"auth.mode": "token", "auth.secret": SECRET}

#: Of pages that may talk to the nodes of tests.
ORIGIN = "https://ops.example"


def token(role: str, **claims: Any) -> str:
    """As `Tokens.issue`."""
    return TOKENS.issue(role, **claims)


@contextmanager
def nodes_with_login(folder: Path, **settings: Any) -> Iterator[Cluster]:
    """Two nodes; `settings` as `node__async_mode="gevent"`."""
    dotted = {name.replace("__", ".", 1): value for name, value in settings.items()}
    with running_pair(folder, **LOGIN, **dotted) as made:
        yield made


def who(url: str, role: str, **claims: Any) -> Bare:
    """A socket that has shown a token of this role."""
    return Bare(url, auth={"token": token(role, **claims)})


def device(url: str, session_id: str, **fields: Any) -> Bare:
    """A registered device with a token of its own."""
    made = who(url, "device", device=session_id)
    made.ok("register", {"device_id": session_id, **fields})
    return made


def refusal(url: str, auth: Any = None) -> dict[str, Any]:
    """The `data` of the connect_error that a node answers."""
    line = websocket.create_connection(
        url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket", timeout=20
    )
    try:
        line.recv()
        line.send("40" + ("" if auth is None else json.dumps(auth)))
        answer = line.recv()
    finally:
        line.close()
    assert answer.startswith("44"), answer[:80]
    error: dict[str, Any] = json.loads(answer[2:])["data"]
    return error


def ask(
    node: NodeProcess,
    method: str,
    path: str,
    shown: str | None = None,
    body: Any = None,
    **headers: str,
) -> tuple[int, Any]:
    """Status and parsed body of a request with a token."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
    try:
        if shown is not None:
            headers["Authorization"] = f"Bearer {shown}"
        sent = None
        if body is not None:
            sent = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        connection.request(method, path, sent, headers)
        response = connection.getresponse()
        text = response.read()
        if "json" in (response.getheader("Content-Type") or "") and text:
            return response.status, json.loads(text)
        return response.status, text.decode()
    finally:
        connection.close()
