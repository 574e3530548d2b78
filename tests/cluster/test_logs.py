"""Logs of real processes: whatever clients send through any door, a line stays a line."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import quote

import jwt
import pytest
import websocket

from service.config.loader import load_config
from service.manager.manager import SessionManager
from tests.support.clients.clients import RawSocket
from tests.support.nodes.node_processes import MakeCluster, NodeProcess
from tests.support.system.processes import Running

#: Line ends and what terminals obey, ASCII and not; `forged` is what would begin a line.
HOSTILE = "x\r\nforged\x1b[31m\x85forged\u2028forged\u2029\u202eforged\x0b\x0c\x00\x7f\x9b2J"
SECRET = "0123456789abcdef0123456789abcdef"
TOKEN = {"role": "admin", "sub": HOSTILE, "exp": 4_000_000_000}


def lines_of(path: Path) -> list[str]:
    """Lines as the most nasty of readers would find them."""
    return path.read_bytes().decode().splitlines()


def send_raw(node: NodeProcess, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", node.port), 5) as raw:
        raw.sendall(request)
        raw.settimeout(5)
        try:
            while raw.recv(65536):
                pass
        except OSError:
            pass


def knock_at_every_door(node: NodeProcess, token: str) -> None:
    """Hostile text as id, name, event, key, value, path, header, token and packet."""
    header = {"header": [f"Authorization: Bearer {token}"]}
    raw = RawSocket(node.url, **header)
    for event, payload in (
        ("register", {"device_id": HOSTILE}),
        ("register", {"device_id": "d\u2028forged\u202e", "session_name": HOSTILE, "project_id": HOSTILE}),
        ("update_data", {"key": HOSTILE, "value": HOSTILE}),
        ("update_data", {"key": "k\u2028forged", "value": HOSTILE}),
        (HOSTILE, {HOSTILE: HOSTILE}),
        ("send_command", {"device_id": "d\u2028forged\u202e", "command": HOSTILE, "params": [HOSTILE]}),
        ("get_active_session", {"device_id": HOSTILE}),
        ("register_vue", {"scope": {"project_id": HOSTILE}, "cursor": HOSTILE}),
    ):  # fmt: skip
        raw.call(event, payload)
    raw.send(f'42["{HOSTILE}"')
    raw.send(f"9{HOSTILE}")
    raw.close()
    for wrong in (HOSTILE, f"eyJ.{HOSTILE}", jwt.encode({"role": HOSTILE}, SECRET)):
        refused = RawSocket(node.url, connect=False)
        refused.send("40" + json.dumps({"token": wrong, HOSTILE: HOSTILE}))
        try:
            refused.packet("44")
        except (ConnectionError, websocket.WebSocketException):
            pass
        refused.close()
    text = HOSTILE.replace("\x00", "").encode()
    bare = text.replace(b"\r\n", b"\x0b")
    send_raw(node, b"GET /" + text + b" HTTP/1.1\r\nHost: " + text + b"\r\n\r\n")
    send_raw(node, text + b"\r\n\r\n")
    send_raw(node, bare + b"\r\n\r\n")  # the web servers print what they do not understand
    send_raw(node, b"GET /" + bare + b" HTTP/1.1\r\n\r\n")
    for name in (
        b"Host",
        b"Origin",
        b"User-Agent",
        b"Authorization",
        b"X-Forwarded-For",
        b"Cookie",
    ):
        send_raw(
            node,
            b"GET /api/v1/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            + name + b": " + bare + b"\r\n\r\n",
        )  # fmt: skip
    for path in (f"/api/v1/sessions/{quote(HOSTILE, safe='')}", f"/{quote(HOSTILE)}", "/%ff%0a%0d"):
        node.get(path, Authorization=f"Bearer {token}")


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
@pytest.mark.parametrize("form", ["json", "console"])
def test_hostile_clients_cannot_begin_a_line(
    cluster: MakeCluster, async_mode: str, form: str
) -> None:
    """At level debug, where libraries talk too: every line is one of ours, and printable."""
    own = cluster(
        1,
        log__level="debug",
        log__format=form,
        node__async_mode=async_mode,
        auth__mode="token",
        auth__secret=SECRET,
    )
    [node] = own.nodes
    token = jwt.encode(TOKEN, SECRET)
    knock_at_every_door(node, token)
    assert node.stop() == 0
    lines = lines_of(node.log)
    assert any("connection refused" in line for line in lines)
    for line in lines:
        assert line.isprintable(), line
        assert not line.lstrip().startswith("forged"), line
        if form == "json":
            fields = json.loads(line)
            assert fields["process_name"] == "node", line
            assert {"at", "level", "event", "logger"} <= fields.keys(), line
    assert token not in node.log.read_text()
    assert SECRET not in node.log.read_text()
    if form == "json":
        named = [json.loads(line) for line in lines]
        served = next(n for n, fields in enumerate(named) if fields.get("action") == "serving")
        assert len({fields["node_id"] for fields in named[served:]}) == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_hostile_ids_that_are_logged_stay_in_their_line(
    cluster: MakeCluster, tmp_path: Path, form: str
) -> None:
    """A restored session is named in the log; this one is from a version that took such an id."""
    hostile = "d\u2028forged\u2029\u202eforged"
    (tmp_path / "archive").mkdir()
    own = cluster(1, archive__url=f"file://{tmp_path / 'archive'}", log__format=form)
    [node] = own.nodes
    manager = SessionManager.connect(own.server.url, load_config(None, own.groups))
    manager.store.ownership.create(hostile)
    manager.store.cleanup.deactivate([hostile])
    assert manager.archiver is not None
    assert [one.word for one in manager.archiver.archive_sessions([hostile])] == ["archived"]
    raw = RawSocket(node.url)
    assert raw.call("update_setup", {"device_id": hostile, "setup": 1})["ok"]
    raw.close()
    manager.close()
    [line] = [line for line in lines_of(node.log) if "restored" in line]
    assert line.isprintable()
    assert "d\\u2028forged" in line


@pytest.mark.parametrize("async_mode", ["eventlet", "gevent"])
def test_clients_that_misbehave_at_will_fill_no_log(cluster: MakeCluster, async_mode: str) -> None:
    """Of two hundred refused connections and requests a few are lines, and one counts the rest."""
    own = cluster(1, auth__mode="token", auth__secret=SECRET, node__async_mode=async_mode)
    [node] = own.nodes
    before = len(lines_of(node.log))
    for number in range(100):
        send_raw(node, b"nonsense%d\r\n\r\n" % number)
    for _ in range(200):
        raw = RawSocket(node.url, connect=False)
        raw.send('40{"token":"wrong"}')
        raw.packet("44")
        raw.drop()
    assert 2 <= len(lines_of(node.log)) - before <= 40


def test_worker_and_its_jobs_say_who_they_are(cluster: MakeCluster, tmp_path: Path) -> None:
    own = cluster(1)
    own.store.ownership.create("s\u2028forged")
    worker = Running(
        *("worker", "--redis", own.server.url),
        folder=tmp_path / "worker",
        settings={"MUSTER_LOG__FORMAT": "json", "MUSTER_SESSIONS__IDLE_AFTER_S": "0.1"},
    )
    try:
        worker.await_output("idle sessions were swept", 40)
        named = [json.loads(line) for line in worker.output.splitlines()]
        assert {line["process_name"] for line in named} == {"worker"}
        assert len({line["worker"] for line in named}) == 1
    finally:
        worker.close()
