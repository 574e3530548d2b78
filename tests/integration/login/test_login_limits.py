"""Ends and limits on real nodes: tokens that end, silent sockets, rates, proxies, what is public."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from service.protocol.frames import Parser
from tests.conftest import RealServer
from tests.support.clients.bare import Bare
from tests.support.clients.logins import LOGIN, SECRET, TOKENS, ask, device, refusal, token, who
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.node_processes import Cluster, environment
from tests.support.system.processes import ended, muster
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

LIMITS = {
    "limits.events_per_s": 20,
    "limits.bytes_per_s": 20_000,
    "limits.connections_per_address": 6,
    "limits.sessions_per_token": 2,
    "node.trusted_proxies": ["127.0.0.1"],
    "node.metrics": "public",
}


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def cluster(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    real_server: RealServer,
) -> Iterator[Cluster]:
    """One node with a login, and one that has limits besides."""
    settings = {
        **LOGIN,
        "node.async_mode": request.param,
        "redis.key_prefix": f"limits-{request.param}",
    }
    made = Cluster(real_server, tmp_path_factory.mktemp(f"limits-{request.param}"), settings)
    try:
        made.start()
        made.start(**{name.replace(".", "__", 1): value for name, value in LIMITS.items()})
        yield made
        assert made.tracebacks() == []
    finally:
        made.close()


def open_engine(url: str) -> websocket.WebSocket:
    """An Engine.IO connection that says nothing."""
    line = websocket.create_connection(
        url.replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket", timeout=20
    )
    line.recv()
    return line


def await_close(line: websocket.WebSocket) -> None:
    """Until the node closes it; pings are answered."""
    sock = line.sock
    while True:
        try:
            packet = line.recv()
        except (OSError, websocket.WebSocketException):
            break
        if not packet:
            break
        if packet == "2":
            line.send("3")
    line.close()
    sock.close()  # websocket-client forgets it when the other side closes first


def test_socket_closes_when_its_token_ends(cluster: Cluster) -> None:
    began_s = time.time()
    watching = who(cluster.urls[0], "viewer", lifetime_s=7)  # enough to register on a busy machine
    machine = who(cluster.urls[0], "device", device="ends-1", lifetime_s=7)
    machine.ok("register")
    watching.ok("register_vue", {})
    wait_until(lambda: watching.is_closed or machine.is_closed, 12)
    assert time.time() > began_s + 6  # ends are whole seconds
    wait_until(lambda: watching.is_closed and machine.is_closed, 5)
    for socket in (watching, machine):
        assert socket.events("service_error")[-1]["code"] == "not_authenticated"
    stayed = who(cluster.urls[0], "viewer", lifetime_s=3600)
    assert stayed.ok("get_active_sessions")
    stayed.close()


def test_token_that_has_ended_or_not_begun_is_refused(cluster: Cluster) -> None:
    import jwt

    now_s = time.time()
    for claims, words in (
        ({"exp": now_s - 1}, "expired"),
        ({"nbf": now_s + 60}, "not valid yet"),
        ({"iat": now_s + 60}, "not valid yet"),
    ):
        bad = jwt.encode({"role": "admin", **claims}, SECRET, algorithm="HS256")
        error = refusal(cluster.urls[0], {"token": bad})
        assert (error["code"], words in error["message"]) == ("not_authenticated", True)
        status, body = ask(cluster.nodes[0], "GET", "/api/v1/sessions", bad)
        assert (status, body["code"]) == (401, "not_authenticated")
        assert words in body["message"]


def test_silent_sockets_are_closed_and_those_with_a_role_stay(cluster: Cluster) -> None:
    """Never connected, refused, and a device that does not register; a viewer may be silent."""
    url, watch = cluster.urls[0], Stopwatch()
    quiet, refused = open_engine(url), open_engine(url)
    refused.send("40")
    assert refused.recv().startswith("44")
    unregistered = who(url, "device", device="silent-1")
    viewer = who(url, "viewer")
    await_close(quiet)
    assert watch.elapsed_s > 7
    assert watch.quiet_s < 25
    await_close(refused)
    wait_until(lambda: unregistered.is_closed, 15)
    assert unregistered.events("service_error")[-1]["code"] == "not_registered"
    assert not viewer.is_closed
    viewer.ok("get_active_sessions")
    viewer.close()


def test_rates_of_a_socket_are_told_and_counted(cluster: Cluster) -> None:
    machine = device(cluster.urls[1], "fast-1")
    watch = Stopwatch()
    numbers = [machine.ask("update_data", {"key": "a", "value": i}) for i in range(300)]
    answers = [machine.answer_to(number) for number in numbers]
    refused = [answer["error"] for answer in answers if not answer["ok"]]
    assert len(answers) - len(refused) <= 20 * (1 + watch.elapsed_s)
    assert refused
    assert {error["code"] for error in refused} == {"rate_limited"}
    assert all(error["retryable"] and error["retry_after_s"] > 0 for error in refused)
    time_s = refused[-1]["retry_after_s"]
    assert time_s < 2
    wait_until(
        lambda: machine.call("update_data", {"key": "a", "value": 0})["ok"], 5, every_s=time_s
    )
    big = "x" * 30_000
    wait_until(
        lambda: machine.call("update_data", {"key": "b", "value": big})["ok"], 5, every_s=0.3
    )
    answer = machine.call("update_data", {"key": "b", "value": 1})
    assert answer["error"]["code"] == "rate_limited"
    machine.emit("update_data", {"key": "b", "value": 1})
    wait_until(lambda: machine.events("service_error"), 5)
    assert machine.events("service_error")[0]["code"] == "rate_limited"
    text = ask(cluster.nodes[1], "GET", "/metrics")[1]
    assert re.search(r'muster_errors_total\{code="rate_limited"\} [1-9]\d', text)
    machine.close()


def test_polling_socket_closes_when_its_token_ends(cluster: Cluster) -> None:
    shown = {"token": token("viewer", lifetime_s=4)}
    socket = RawPolling(cluster.nodes[0].port, auth=shown)
    told = socket.receive()
    assert '"not_authenticated"' in told
    assert socket.receive() == "41"


def test_what_is_no_event_counts_against_the_rate_too(cluster: Cluster) -> None:
    socket = RawWebsocket(cluster.nodes[1].port, connect=False)
    socket.send("40" + json.dumps({"token": token("viewer")}))
    assert socket.receive().startswith("40")
    for _ in range(35):
        socket.send("4nonsense")
    codes = [socket.error()["code"] for _ in range(35)]
    assert codes[:5] == ["invalid_request"] * 5
    assert codes.count("rate_limited") > 10
    assert socket.call("get_active_sessions", {})["error"]["code"] == "rate_limited"
    socket.close()


def test_sessions_of_a_token_are_limited(cluster: Cluster) -> None:
    shown = {"token": token("device", prefix="shared-")}
    sockets = [Bare(cluster.urls[1], auth=shown) for _ in range(3)]
    answers = [
        socket.call("register", {"device_id": f"shared-{i}"}) for i, socket in enumerate(sockets)
    ]
    assert [answer["ok"] for answer in answers] == [True, True, False]
    assert answers[2]["error"]["code"] == "rate_limited"
    sockets[0].close()
    answer = sockets[2].call("register", {"device_id": "shared-2"})
    assert answer["error"]["retry_after_s"] > 3000  # it counts for an hour
    assert sockets[2].call("register", {"device_id": "shared-0"})["ok"]
    for socket in sockets[1:]:
        socket.close()


def test_connections_of_an_address_are_limited_by_what_a_trusted_proxy_says(
    cluster: Cluster,
) -> None:
    """From their first moment: whether they log in or not, and over both transports."""
    url = cluster.urls[1].replace("http", "ws") + "/socket.io/?EIO=4&transport=websocket"

    def connect(addresses: str, shown: str | None = None) -> websocket.WebSocket:
        line = websocket.create_connection(
            url, timeout=60, header=[f"X-Forwarded-For: {addresses}"]
        )
        line.recv()
        if shown:
            line.send("40" + json.dumps({"token": shown}))
            assert line.recv().startswith("40")
        return line

    def poll(addresses: str) -> int:
        path = "/socket.io/?EIO=4&transport=polling"
        return ask(cluster.nodes[1], "GET", path, **{"X-Forwarded-For": addresses})[0]

    lines = [connect("198.51.100.7", token("viewer")) for _ in range(4)]
    lines += [connect("198.51.100.7") for _ in range(2)]
    for addresses in ("198.51.100.7", "203.0.113.9, 198.51.100.7"):  # the first is not believed
        with pytest.raises(websocket.WebSocketBadStatusException, match="429"):
            connect(addresses)
        assert poll(addresses) == 429
    assert poll("198.51.100.8") == 200
    lines.pop().close()
    wait_until(lambda: poll("198.51.100.7") == 200, 10, what="a place is free")
    for line in lines:
        line.close()


FLOODS = {
    "pongs": [b"3"] * 4000,
    "pings": [(0x89, b"p")] * 4000,
    "acks": [b"437[]"] * 4000,
    "attachments": [b"4" + b"51-" + b'["a",{"_placeholder":true,"num":0}]', (0x82, b"x")] * 2000,
    "events": [b'42["get_active_sessions",{}]'] * 4000,
    "nonsense": [b"4nonsense"] * 4000,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_socket_far_beyond_its_limits_is_not_read_instead_of_answered(
    cluster: Cluster, kind: str
) -> None:
    """Whatever it sends counts: of 4,000 at once a second's worth is taken, and a second's worth refused."""
    socket = RawWebsocket(cluster.nodes[1].port, connect=False)
    socket.send("40" + json.dumps({"token": token("viewer")}))
    assert socket.receive().startswith("40")
    wire = b""
    for one in (*FLOODS[kind], b'42999["get_active_sessions",{}]'):
        code, payload = one if isinstance(one, tuple) else (0x81, one)
        wire += bytes([code, 0x80 | len(payload)]) + bytes(4) + payload
    socket.ws.sock.sendall(wire)
    answers = all_within(socket.ws.sock, 1.0)
    assert len(answers) <= 60
    assert not [one for one in answers if str(one).startswith("43999")]  # it waits behind the rest
    other = who(cluster.urls[1], "viewer")
    assert other.ok("get_active_sessions")
    other.close()
    socket.ws.sock.close()


def all_within(line: Any, seconds: float) -> list[Any]:
    """The frames that come within this time."""
    line.settimeout(0.1)
    parser, watch = Parser(1 << 20, from_client=False), Stopwatch()
    found: list[Any] = []
    while watch.elapsed_s < seconds:
        with contextlib.suppress(TimeoutError):
            found += parser.feed(line.recv(65536))
    return found


def test_forwarding_header_of_a_stranger_is_dropped(cluster: Cluster) -> None:
    status, _ = ask(cluster.nodes[0], "GET", "/", **{"X-Forwarded-For": "10.1.1.1"})
    assert status == 200


def test_metrics_are_for_whom_the_setting_says(cluster: Cluster) -> None:
    assert ask(cluster.nodes[0], "GET", "/metrics")[0] == 401
    assert ask(cluster.nodes[0], "GET", "/metrics", token("device", device="a"))[0] == 403
    assert ask(cluster.nodes[0], "GET", "/metrics", token("viewer"))[0] == 200
    assert ask(cluster.nodes[1], "GET", "/metrics")[0] == 200


def test_clients_of_ours_show_their_token(cluster: Cluster) -> None:
    """`muster simulate` with an admin's token is verified; without one it ends and says why."""
    argv = ["simulate", "-n", "2", "--seconds", "1", "--json"]
    argv += ["--url", cluster.urls[0], "--wait", "20", "--prefix", "sim-"]
    done = muster(*argv, settings={"MUSTER_TOKEN": token("admin")})
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["lost"], summary["verified_sessions"]) == (0, 2)
    done = muster(*argv)
    assert done.returncode == 1
    assert "not_authenticated" in done.stdout


def test_token_command_makes_what_nodes_take(cluster: Cluster) -> None:
    argv = ["token", "--role", "device", "--prefix", "cli-"]
    of_berlin = [*argv, "--expires", "1h", "--project", "berlin"]
    done = muster(*of_berlin, settings=environment(LOGIN))
    assert done.returncode == 0, done.stderr
    identity = TOKENS.read(done.stdout.strip())
    assert (identity.prefix, identity.projects) == ("cli-", {"berlin"})
    machine = Bare(cluster.urls[0], auth={"token": done.stdout.strip()})
    machine.ok("register", {"device_id": "cli-1"})
    machine.close()
    done = muster(*argv)
    assert done.returncode == 2
    assert "auth.secret" in done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"auth.mode": "token"}, "auth.secret"),
        ({"auth.mode": "token", "auth.secret": "too-short-a-secret"}, "auth.secret"),
        ({"node.host": "0.0.0.0"}, "auth.mode"),
    ],
)
def test_start_without_protection_is_refused_and_names_the_setting(
    real_server: RealServer, settings: dict[str, Any], words: str
) -> None:
    own = {"redis.url": real_server.url, "redis.key_prefix": "start", **settings}
    done = ended("eventlet", environment(own))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "too-short-a-secret" not in done.stderr
