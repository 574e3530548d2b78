"""REST over real nodes, a real worker and real devices."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.nodes.node_processes import Cluster, MakeCluster, NodeProcess
from tests.support.nodes.shared_pair import running_pair
from tests.support.system.forks import Forked
from tests.support.waiting import wait_until


@pytest.fixture(scope="module", params=["eventlet", "gevent"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two nodes for all tests that leave them as they were; each has devices of its own."""
    folder = tmp_path_factory.mktemp(f"api-{request.param}")
    with running_pair(folder, **{"node.async_mode": request.param}) as made:
        yield made


def ask(
    node: NodeProcess, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    """Status, headers, and body: parsed where it is JSON."""
    with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=40)) as connection:
        data = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, "/api/v1" + path, data, {**kind, **named})
        response = connection.getresponse()
        text = response.read()
        is_json = "json" in (response.getheader("Content-Type") or "").split(";")[0].split("-")[0]
        shown = json.loads(text) if is_json and text else text
        return response.status, dict(response.getheaders()), shown


@contextmanager
def worker(cluster: Cluster) -> Iterator[Forked]:
    """A worker process; ended however it is left."""
    process = cluster.start_worker()
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def test_ids_in_paths_of_a_real_server_are_those_that_were_sent(pair: Cluster) -> None:
    """`%2F` is no slash and `%7F..` is the id `..`, under both servers."""
    node = pair.nodes[0]
    for session_id, path in (
        ("a/b", "a%2Fb"),
        ("..", "%7F.."),
        ("..", ".."),
        ("a%2Fb", "a%252Fb"),
        ("é?#", "%C3%A9%3F%23"),
        ("cleanup", "cleanup"),
    ):
        pair.store.ownership.create(session_id)
        status, _, shown = ask(node, "GET", f"/sessions/{path}/info")
        assert (status, shown["session_id"]) == (200, session_id)
    assert ask(node, "GET", "/sessions/a/b")[0] == 404


def test_command_by_rest_reaches_a_device_on_another_node(pair: Cluster) -> None:
    here, there = pair.nodes
    device = Bare.device(
        there.url, "kiosk-7", answer=lambda command: [{"ok": True, "result": command["params"]}]
    )
    body = {"command": "echo", "params": [1, "ä"], "wait": "result", "timeout_s": 10}
    status, _, shown = ask(here, "POST", "/sessions/kiosk-7/commands", body)
    assert (status, shown["status"], shown["result"]) == (200, "succeeded", [1, "ä"])
    status, _, shown = ask(here, "PUT", "/sessions/kiosk-7/setup", {"setup": {"interval_s": 5}})
    assert status == 200
    wait_until(lambda: device.events("setup"), what="the device is sent its setup")
    assert ask(here, "DELETE", "/sessions/kiosk-7")[0] == 204
    wait_until(lambda: device.is_closed, what="the deleted device is disconnected")
    device.close()


def test_requests_that_wait_hold_up_nobody(pair: Cluster) -> None:
    """Twenty wait for a device that does not answer; the node serves others meanwhile."""
    node = pair.nodes[0]
    device = Bare.device(node.url, "kiosk-8")
    body = {"command": "a", "wait": "result", "timeout_s": 2}
    answers: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(ask(node, "POST", "/sessions/kiosk-8/commands", body)[0])
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(device.events("command")) == 20, what="all commands are sent")
    assert ask(node, "GET", "/sessions")[0] == 200
    assert answers == []
    for thread in threads:
        thread.join(60)
    assert answers == [504] * 20
    device.close()


def test_long_history_is_streamed_in_chunks(cluster: MakeCluster) -> None:
    [node] = cluster(1, sessions__history={"default": 20_000}).nodes
    device = Bare.device(node.url, "kiosk-7")
    for begin in range(0, 10_000, 1_000):
        samples = [["a", "x" * 100 + str(begin + i)] for i in range(1_000)]
        device.ok("update_data", {"samples": samples})
    status, headers, shown = ask(node, "GET", "/sessions/kiosk-7/data/a")
    assert status == 200
    assert headers["Transfer-Encoding"] == "chunked"
    assert [value for value, _ in shown["data"]["a"]] == [f"{'x' * 100}{i}" for i in range(10_000)]
    device.close()


def test_bodies_beyond_the_limit_are_refused_with_and_without_a_length(pair: Cluster) -> None:
    node = pair.nodes[0]
    _, _, made = ask(node, "POST", "/sessions")
    path = f"/sessions/{made['session_id']}/telemetry"
    status, _, problem = ask(node, "POST", path, {"telemetry": {"a": "x" * (1 << 20)}})
    assert (status, problem["code"]) == (413, "too_large")
    for size, expected in ((10, 200), (2 << 20, 413)):
        with closing(http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)) as connection:
            text = json.dumps({"telemetry": {"a": "x", "b": "y"}}).encode().ljust(size)
            pieces = (text[i : i + 65536] for i in range(0, len(text), 65536))
            connection.request(
                "POST", "/api/v1" + path, pieces, {"Content-Type": "application/json"},
                encode_chunked=True,
            )  # fmt: skip
            response = connection.getresponse()
            assert response.status == expected
            response.read()


def test_bulk_command_survives_its_worker(cluster: MakeCluster) -> None:
    """Killed in the middle, done by another worker; every device gets the command once."""
    made = cluster(1)
    [node] = made.nodes
    for i in range(3_000):
        made.store.ownership.create(f"s-{i}")
    body = {"command": "sync", "filter": {"q": "s-"}}
    with worker(made) as first:
        status, headers, batch = ask(node, "POST", "/commands", body, Idempotency_Key="k")
        assert status == 202
        path = headers["Location"].removeprefix("/api/v1")
        key = made.keys.command_batch(batch["batch_id"])
        wait_until(lambda: int(made.redis.hget(key, "sent") or 0) > 0, 30, every_s=0.001)
        first.kill()
        first.wait(60)
        # the child that RQ forked for the job goes with it, or ends the batch
    again = ask(node, "POST", "/commands", body, Idempotency_Key="k")[2]
    assert again["batch_id"] == batch["batch_id"]
    with worker(made):
        wait_until(lambda: ask(node, "GET", path)[2]["state"] == "done", 110, every_s=0.5)
    shown = ask(node, "GET", path)[2]
    assert shown["statuses"] == {"queued": 3_000}
    assert shown["total"] == 3_000
    counts = [made.redis.zcard(made.keys.commands_open(f"s-{i}")) for i in range(0, 3_000, 7)]
    assert set(counts) == {1}


def test_cleanup_is_done_by_a_worker_and_answered(cluster: MakeCluster) -> None:
    made = cluster(1)
    [node] = made.nodes
    device = Bare.device(node.url, "here")
    for name in ("a", "b/c"):
        made.store.ownership.create(name)
    with worker(made):
        order = {"purge": True, "max_inactive_hours": 0}
        wait_until(lambda: ask(node, "GET", "/stats")[2]["workers"] == 1, 20)
        status, _, shown = ask(node, "POST", "/sessions/cleanup", order)
        assert status == 200, shown
        assert sorted(shown["removed_sessions"]) == ["a", "b/c"]
        refused = ask(node, "POST", "/sessions/cleanup", {})
        assert refused[0] in (200, 409), refused
    left = ask(node, "GET", "/sessions?state=all")[2]["sessions"]
    assert [one["session_id"] for one in left] == ["here"]
    device.close()


def test_nodes_and_alarms_tell_of_a_node_that_is_there(pair: Cluster) -> None:
    node = pair.nodes[0]
    shown = wait_until(
        lambda: [n for n in ask(node, "GET", "/nodes")[2]["nodes"] if n["ready"]],
        10,
        what="nodes tell their figures",
    )
    assert {one["node_id"] for one in shown} <= {each.node_id for each in pair.nodes}
    names = {alarm["name"] for alarm in ask(node, "GET", "/alarms")[2]["active"]}
    assert "no_workers" in names
