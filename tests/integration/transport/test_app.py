"""A node as a process: pages, health, its start and its end, with and without Redis."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RealServer
from tests.support.clients.clients import Client, RawSocket
from tests.support.nodes.node_processes import ROOT, Cluster, environment
from tests.support.system.processes import ended
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: str
) -> Iterator[Any]:
    """One node on the shared server."""
    server = request.getfixturevalue("real_server")
    folder = tmp_path_factory.mktemp(f"app-{request.param}")
    settings = {"node.async_mode": request.param, "redis.key_prefix": f"app-{request.param}"}
    cluster = Cluster(server, folder, settings)
    try:
        [started] = cluster.start()
        yield started
        assert cluster.tracebacks() == []
    finally:
        cluster.close()


@pytest.fixture(params=["eventlet", "gevent"])
def own(
    request: pytest.FixtureRequest, tmp_path: Path, own_server: RealServer
) -> Iterator[Cluster]:
    """A cluster that the test may drain, and whose server it may kill."""
    cluster = Cluster(
        own_server,
        tmp_path,
        {
            "node.async_mode": request.param,
            "node.drain_s": 4,
            "node.detach_after_s": 2,
            "sessions.lease_s": 2,
            "sessions.renew_s": 0.5,
        },
    )
    yield cluster
    cluster.close()


# -- pages


def test_root_says_that_it_runs(node: Any):
    assert node.get("/") == (200, "Server is running")
    assert node.get("/", Accept="*/*") == (200, "Server is running")


def test_browser_gets_the_dashboard_with_all_its_files(node: Any):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert node.get("/", Accept=accept) == (303, "Server is running")
    status, page = node.get("/dashboard/sessions/kiosk-7", Accept=accept)
    assert status == 200
    files = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(files) >= 3
    assert [node.get(path)[0] for path in files] == [200] * len(files)


def test_links_of_the_help_lead_somewhere(node: Any):
    source = (ROOT / "dashboard/src/components/shell/HelpDialog.vue").read_text()
    links = re.findall(r'href: "([^"]+)"', source)
    assert {"/test", "/api/docs", "/metrics"} <= set(links)
    assert [node.get(link)[0] for link in links] == [200] * len(links)


def test_healthz_says_who_lives(node: Any):
    status, body = node.get("/healthz")
    assert status == 200
    assert re.fullmatch(r".+-[a-z0-9]{10}", body["node_id"])


def test_readyz_names_every_dependency(node: Any):
    status, body = node.get("/readyz")
    assert status == 200
    assert body["ready"]
    needed = {name for name, check in body["checks"].items() if check["needed"]}
    assert needed == {"redis", "message_queue", "backlog", "memory", "draining"}
    assert body["checks"].keys() - needed == {"workers", "archive", "reader"}
    assert all(body["checks"][name]["ok"] for name in needed)


def test_metrics_count_what_happens(node: Any, key_prefix: str):
    device = Client(node.url)
    device.ok("register", {"device_id": key_prefix})
    device.ok("update_data", {"key": "a", "value": 1})
    status, text = node.get("/metrics")
    assert status == 200
    assert re.search(r'muster_events_total\{event="update_data"\} [1-9]', text)
    assert re.search(r"muster_devices [1-9]", text)
    assert key_prefix not in text
    device.close()


def test_test_page_and_its_files_are_served_without_inline_script(node: Any):
    connection_status, page = node.get("/test")
    assert connection_status == 200
    assert "<script>" not in page
    assert " style=" not in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert node.get(path)[0] == 200, path


def test_pages_carry_a_strict_policy(node: Any):
    with socket.create_connection(("127.0.0.1", node.port), 5) as raw:
        raw.sendall(b"GET /test HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += raw.recv(65536)
    text = head.decode()
    assert "default-src 'none'; script-src 'self'" in text
    assert "X-Content-Type-Options: nosniff" in text


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/healthz", 200),
        ("http://localhost/api/v1/sessions/a%2Fb?colour=1", 400),
        ("http://localhost/socket.io/?EIO=4&transport=polling", 200),
        ("http://evil.example/", 403),
    ],
)
def test_target_may_be_a_whole_url(node: Any, target: str, status: int):
    with socket.create_connection(("127.0.0.1", node.port), 5) as raw:
        request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        raw.sendall(request.encode())
        assert raw.makefile("rb").readline().split()[1] == b"%d" % status


@pytest.mark.parametrize("path", ["/nothing", "/test/../wiring.py", "/test/other.js", "/static/x"])
def test_unknown_paths_are_problem_json(node: Any, path: str):
    status, body = node.get(path)
    assert (status, body["code"]) == (404, "invalid_request")


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/api/v1/sessions", "/socket.io/?EIO=4&transport=polling"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"X-Forwarded-For": "10.0.0.1"},
    ],
    ids=["host", "origin", "proxy"],
)
def test_strangers_are_refused_everywhere(node: Any, path: str, headers: dict[str, str]):
    status, body = node.get(path, **headers)
    assert (status, body["code"]) == (403, "not_allowed")


def test_websocket_from_a_foreign_page_is_refused(node: Any):
    import websocket

    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        RawSocket(node.url, origin="http://evil.example")
    assert refused.value.status_code == 403


# -- start


def start(settings: dict[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    return ended("eventlet", environment(settings), *flags)


def test_start_on_a_reachable_address_is_refused(redis_url: str, free_port: int):
    ended = start({"redis.url": redis_url, "node.host": "0.0.0.0", "node.port": free_port})
    assert ended.returncode == 2
    assert "node.host" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_start_on_a_taken_port_is_refused(redis_url: str):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start({"redis.url": redis_url, "node.port": port})
    assert ended.returncode == 2
    assert str(port) in ended.stderr


def test_start_with_other_partitions_is_refused(node: Any, redis_url: str, free_port: int):
    mode = re.search(r'"async_mode": "(\w+)"', node.tail(100_000))
    assert mode
    prefix = f"app-{mode[1]}"
    settings = {"redis.url": redis_url, "node.port": free_port}
    ended = start({**settings, "redis.key_prefix": prefix, "redis.partitions": 3})
    assert ended.returncode == 2
    assert "redis.partitions" in ended.stderr


# -- end


def test_drain_loses_no_acked_update_and_ends_in_time(own: Cluster):
    """SIGTERM under load: clients are told, acks are kept, sessions inactive, leases given back."""
    first, second = own.start(2)
    device = Client(first.url)
    device.ok("register", {"device_id": "d1"})
    acked: list[int] = []
    stopping = threading.Event()

    def stream() -> None:
        n = 0
        while not stopping.is_set():
            n += 1
            try:
                if device.call("update_data", {"key": "n", "value": n, "seq": n}, 2)["ok"]:
                    acked.append(n)
            except Exception:
                return

    thread = threading.Thread(target=stream)
    thread.start()
    wait_until(lambda: len(acked) > 20)
    watch = Stopwatch()
    node_id = first.node_id

    assert first.stop() == 0
    assert watch.quiet_s < 4.5
    stopping.set()
    thread.join(60)

    draining = device.await_event("draining")
    assert 0 < draining["reconnect_after_s"] <= 2
    details = own.store.index.details("d1")
    assert details is not None
    assert details["state"] == "inactive"
    assert details["disconnect_reason"] == "draining"
    assert details["telemetry"]["n"] >= acked[-1]
    assert details["last_seq"] >= acked[-1]
    assert [n["node_id"] for n in own.store.fleet.nodes()] == [second.node_id]
    assert own.redis.zscore(own.keys.leases(0), node_id) is None
    assert own.tracebacks() == []
    device.close()


def test_drain_closes_idle_and_polling_clients_too(own: Cluster):
    [node] = own.start(1)
    clients = [Client(node.url, transports=("polling",)), Client(node.url), Client(node.url)]
    for n, client in enumerate(clients):
        client.ok("register", {"device_id": f"d{n}"})

    assert node.stop() == 0

    for n, client in enumerate(clients):
        client.await_end()
        assert (own.store.index.get(f"d{n}") or {})["state"] == "inactive"
        client.close()


def test_outage_of_redis_delays_acks_and_loses_none(own: Cluster):
    """The socket stays, readiness goes, and what was sent meanwhile is stored once."""
    [node] = own.start(1)
    raw = RawSocket(node.url)
    raw.call("register", {"device_id": "d1"})
    raw.call("update_data", {"key": "a", "value": 0, "seq": 1})

    own.server.kill()
    raw.send('42900["update_data",{"key":"a","value":1,"seq":2}]')
    raw.send('42901["update_data",{"key":"a","value":2}]')
    wait_until(lambda: node.get("/readyz")[0] == 503, 5)
    shown = node.get("/readyz")[1]
    assert not shown["checks"]["redis"]["ok"]
    assert node.get("/healthz")[0] == 200
    own.server.start()

    assert json.loads(raw.packet("43900[")[5:])[0]["ok"]
    assert json.loads(raw.packet("43901[")[5:])[0]["ok"]
    wait_until(lambda: node.get("/readyz")[0] == 200, 10)
    details = own.store.index.details("d1")
    assert details is not None
    assert [sample[0] for sample in details["data"]["a"]] == [0, 1, 2]
    assert details["state"] == "active"
    raw.close()


def test_outage_register_is_store_unavailable_and_works_later(own: Cluster):
    [node] = own.start(1)
    device = Client(node.url)
    own.server.kill()
    error = device.error("register", {"device_id": "d1"}, 15)
    assert (error["code"], error["retryable"]) == ("store_unavailable", True)
    own.server.start()

    def registers() -> bool:
        return bool(device.call("register", {"device_id": "d1"}, 15)["ok"])

    wait_until(registers, 10)
    device.close()


def test_long_outage_sends_the_clients_away(own: Cluster):
    """After `detach_after_s` clients are told to go; with Redis the node takes them again."""
    [node] = own.start(1)
    device = Client(node.url)
    device.ok("register", {"device_id": "d1"})
    own.server.kill()

    assert device.await_event("draining", 12)["reconnect_after_s"] > 0
    device.await_end()
    own.server.start()

    wait_until(lambda: node.get("/readyz")[0] == 200, 15)
    again = Client(node.url)
    assert again.ok("register", {"device_id": "d1"})["resumed"]
    assert own.tracebacks() == []
    again.close()
    device.close()


def test_emptied_redis_makes_sessions_again_and_goes_on(own: Cluster):
    """FLUSHALL under a connected device: it is active again within a renewal, its counter goes on."""
    [node] = own.start(1)
    device = Client(node.url)
    device.ok("register", {"device_id": "d1"})
    before = device.ok("update_data", {"key": "a", "value": 1, "seq": 1})["rev"]
    own.redis.flushall()

    after = device.ok("update_data", {"key": "a", "value": 2, "seq": 2})

    assert after["rev"] > before
    wait_until(lambda: (own.store.index.get("d1") or {}).get("state") == "active", 5)
    wait_until(lambda: node.get("/readyz")[0] == 200, 10)
    device.close()
