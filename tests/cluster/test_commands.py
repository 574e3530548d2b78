"""Guarantee 6 on real nodes: at least once, in order, exactly one final status."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from service import errors
from service.config.loader import load_config
from service.manager.manager import SessionManager
from service.sessions import model
from tests.support.clients.bare import Bare
from tests.support.clients.clients import Client
from tests.support.nodes.node_processes import SOME_ROADS, Cluster, MakeCluster, road
from tests.support.nodes.shared_pair import running_pair
from tests.support.waiting import wait_until

pytestmark = pytest.mark.end_to_end

QUICK = {"sessions__lease_s": 2, "sessions__renew_s": 0.5, "limits__flapping_registers": 0}

#: Runs a test over both ways in which a node can be built.
both_modes = pytest.mark.parametrize("pair", ["eventlet", "gevent"], indirect=True)


@pytest.fixture
def pair(request: pytest.FixtureRequest, cluster: MakeCluster) -> Iterator[Cluster]:
    """Two nodes with short leases, which must not have logged a defect in the end."""
    mode = getattr(request, "param", "eventlet")
    made = cluster(nodes=2, node__async_mode=mode, **QUICK)
    yield made
    assert made.tracebacks() == []


@pytest.fixture(scope="module", params=SOME_ROADS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two nodes on each road, for all tests that harm nothing; each has a device of its own."""
    quick = {name.replace("__", "."): value for name, value in QUICK.items()}
    with running_pair(tmp_path_factory.mktemp("commands"), **quick, **road(request.param)) as made:
        yield made


@pytest.fixture
def d1() -> str:
    """A device that no other test uses."""
    return f"d-{secrets.token_hex(4)}"


@pytest.fixture
def manager(request: pytest.FixtureRequest) -> Iterator[SessionManager]:
    """What a program outside the nodes uses."""
    nodes = request.getfixturevalue("shared" if "shared" in request.fixturenames else "pair")
    made = SessionManager.connect(nodes.server.url, load_config(None, {}))
    yield made
    made.close()


def send(client: Bare, session_id: str, command: str, **more: Any) -> dict[str, Any]:
    return client.ok("send_command", {"device_id": session_id, "command": command, **more})


def commands_of(device: Bare) -> list[tuple[str, int]]:
    """What the device was sent: command and attempt."""
    return [(sent["command"], sent["attempt"]) for sent in device.events("command")]


def statuses_of(dashboard: Bare, command_id: str) -> list[str]:
    """The statuses a dashboard was told, in order."""
    updates = dashboard.events("command_update")
    return [update["status"] for update in updates if update["command_id"] == command_id]


def test_send_command_from_the_other_node_in_each_wait_mode(shared: Cluster, d1: str) -> None:
    """An operator need not know where the device is; each wait ends when it says."""
    first, second = shared.urls
    said: dict[str, list[Any] | None] = {"a": [], "b": [{"ok": True, "result": [1]}], "c": None}
    device = Bare.device(first, d1, answer=lambda payload: said[payload["command"]])
    operator = Bare(second)
    operator.ok("register_vue", {})
    assert send(operator, d1, "a", wait="delivered")["status"] == "delivered"
    done = send(operator, d1, "b", wait="result", params={"n": None})
    assert (done["status"], done["result"]) == ("succeeded", [1])
    queued = send(operator, d1, "c")
    assert queued["status"] == "queued"
    wait_until(lambda: commands_of(device) == [("a", 1), ("b", 1), ("c", 1)])
    device.ack_command(queued["command_id"])
    wait_until(lambda: statuses_of(operator, queued["command_id"])[-1:] == ["delivered"])
    result = {"command_id": queued["command_id"], "ok": False, "error": {"code": "jammed"}}
    device.ok("command_result", result)
    wait_until(lambda: statuses_of(operator, queued["command_id"])[-1:] == ["failed"])
    assert statuses_of(operator, queued["command_id"]) == ["queued", "sent", "delivered", "failed"]
    assert operator.events("command_update")[-1]["error"] == {"code": "jammed"}
    late = operator.call(
        "send_command", {"device_id": d1, "command": "c", "wait": "result", "timeout_s": 0.3}
    )
    assert late["error"]["code"] == "command_timeout"
    device.close()
    operator.close()


def test_scripts_send_the_messages_of_a_command_between_nodes(shared: Cluster, d1: str) -> None:
    """No task of a node and no round trip is between what is stored and the node that has to know."""
    first, second = shared.urls
    device = Bare.device(first, d1, answer=lambda payload: [{"ok": True}])
    operator = Bare(second)
    done = send(operator, d1, "go", wait="result")
    redis = shared.redis
    by_scripts = [
        message["topic"]
        for inbox in redis.scan_iter("muster:mq:*")
        for _, fields in redis.xrange(inbox)
        if re.fullmatch(r"[a-z0-9]{10}-\d+:\d+", fields["n"])
        and (message := json.loads(fields["d"]))["data"]["session_id"] == d1
        and message["data"].get("command_id", done["command_id"]) == done["command_id"]
    ]
    assert sorted(by_scripts) == ["command", "deliver"]
    device.close()
    operator.close()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_result_with_bytes_fails_the_command_at_once(
    shared: Cluster, d1: str, transport: str
) -> None:
    """A device's library sends them as attachments of its ack; who waits hears it, and so does the device."""
    first, second = shared.urls
    said = {"photo": {"ok": True, "result": {"jpeg": b"\xff\xd8"}}, "look": {"ok": True}}
    device = Client(
        first,
        transports=(transport,),
        answers={"command": lambda payload: said[payload["command"]]},
    )
    operator = Bare(second)
    try:
        device.ok("register", {"device_id": d1})
        failed = send(operator, d1, "photo", wait="result", ttl_s=300, timeout_s=60)
        assert (failed["status"], failed["error"]["code"]) == ("failed", "invalid_request")
        assert device.await_event("service_error")["code"] == "invalid_request"
        assert send(operator, d1, "look", wait="result")["status"] == "succeeded"
    finally:
        device.close()
        operator.close()


def test_reconnect_to_the_other_node_resends_unacked_in_order(shared: Cluster, d1: str) -> None:
    """What was sent and not acked comes first, before what was queued in between."""
    first, second = shared.urls
    operator = Bare(first)
    operator.ok("register_vue", {})
    device = Bare.device(first, d1)
    ids = [send(operator, d1, name)["command_id"] for name in ("c1", "c2", "c3")]
    wait_until(lambda: len(commands_of(device)) == 3)
    device.ack_command(ids[0])
    wait_until(lambda: statuses_of(operator, ids[0])[-1:] == ["delivered"])
    again = Bare.device(
        second, d1, answer=lambda payload: [{"ok": True}]
    )  # the old socket still open
    ids.append(send(operator, d1, "c4")["command_id"])
    wait_until(lambda: len(commands_of(again)) == 3)
    assert commands_of(again) == [("c2", 2), ("c3", 2), ("c4", 1)]
    wait_until(lambda: device.is_closed)
    again.ok("command_result", {"command_id": ids[0], "ok": True})
    for command_id in ids:
        wait_until(lambda c=command_id: statuses_of(operator, c)[-1:] == ["succeeded"])
        final = [s for s in statuses_of(operator, command_id) if s in model.FINAL_STATUSES]
        assert final == ["succeeded"]
    again.close()
    operator.close()


@both_modes
def test_kill_9_of_the_owner_with_commands_queued_loses_none(pair: Cluster) -> None:
    """The other node brings all of them, in order, and who waits there gets the result."""
    first, second = pair.urls
    operator = Bare(second)
    device = Bare.device(first, "d1")
    sent = [send(operator, "d1", f"c{n}")["command_id"] for n in range(3)]
    wait_until(lambda: len(commands_of(device)) == 3)
    waiting = operator.ask(
        "send_command", {"device_id": "d1", "command": "c3", "wait": "result", "timeout_s": 30}
    )
    wait_until(lambda: len(commands_of(device)) == 4)
    pair.nodes[0].kill()
    sent.append(send(operator, "d1", "c4")["command_id"])
    again = Bare.device(
        second, "d1", answer=lambda payload: [{"ok": True, "result": payload["command"]}]
    )
    wait_until(lambda: len(commands_of(again)) == 5)
    assert [name for name, _ in commands_of(again)] == ["c0", "c1", "c2", "c3", "c4"]
    assert operator.answer_to(waiting)["result"] == "c3"
    again.close()
    operator.close()


def test_commands_of_a_device_nobody_sees_end_by_their_deadline(shared: Cluster, d1: str) -> None:
    """Never delivered: expired. Delivered and no result: timed_out. Each once, in time."""
    first, second = shared.urls
    device = Bare.device(first, d1, answer=lambda payload: [])
    device.close()
    operator = Bare(second)
    operator.ok("register_vue", {})

    def is_offline() -> bool:
        now = operator.call("send_command", {"device_id": d1, "command": "now", "ttl_s": 0})
        return not now["ok"] and now["error"]["code"] == "device_offline"

    wait_until(is_offline)
    waited = send(operator, d1, "c1", ttl_s=1, wait="result", timeout_s=10)
    assert waited["status"] == "expired"
    device = Bare.device(first, d1, answer=lambda payload: [])
    delivered = send(operator, d1, "c2", ttl_s=1, wait="delivered")
    assert delivered["status"] == "delivered"
    wait_until(lambda: statuses_of(operator, delivered["command_id"])[-1:] == ["timed_out"], 5)
    late = device.ok("command_result", {"command_id": delivered["command_id"], "ok": True})
    assert late["status"] == "timed_out"
    assert "c1" not in [name for name, _ in commands_of(device)]
    for command_id in (waited["command_id"], delivered["command_id"]):
        told = statuses_of(operator, command_id)
        assert len([status for status in told if status in model.FINAL_STATUSES]) == 1
    device.close()
    operator.close()


def test_idempotency_key_over_both_nodes_makes_one_command(shared: Cluster, d1: str) -> None:
    """The same key at the same time on two nodes: one command, one delivery."""
    first, second = shared.urls
    device = Bare.device(first, d1, answer=lambda payload: [{"ok": True, "result": "once"}])
    operators = [Bare(first), Bare(second)]
    wanted = {"device_id": d1, "command": "go", "idempotency_key": "k", "wait": "result"}
    numbers = [operator.ask("send_command", wanted) for operator in operators for _ in range(5)]
    answers = [operators[i // 5].answer_to(number) for i, number in enumerate(numbers)]
    assert {answer["command_id"] for answer in answers} == {answers[0]["command_id"]}
    assert {answer["result"] for answer in answers} == {"once"}
    assert commands_of(device) == [("go", 1)]
    for client in (*operators, device):
        client.close()


def test_cancel_from_another_program_ends_the_wait(
    shared: Cluster, d1: str, manager: SessionManager
) -> None:
    """A cancelled command is over for everybody, and a result that comes later changes nothing."""
    first, second = shared.urls
    device = Bare.device(first, d1, answer=lambda payload: [])
    operator = Bare(second)
    operator.ok("register_vue", {})
    number = operator.ask("send_command", {"device_id": d1, "command": "go", "wait": "result"})
    [command] = wait_until(lambda: device.events("command"))
    wait_until(lambda: statuses_of(operator, command["command_id"])[-1:] == ["delivered"])
    assert manager.cancel_command(d1, command["command_id"]).changed
    assert operator.answer_to(number)["status"] == "cancelled"
    late = device.ok("command_result", {"command_id": command["command_id"], "ok": True})
    assert late["status"] == "cancelled"
    assert not manager.cancel_command(d1, command["command_id"]).changed
    device.close()
    operator.close()


def test_every_command_ends_once_whatever_comes_together(
    shared: Cluster, d1: str, manager: SessionManager
) -> None:
    """Ack, result, second result, cancel and deadline at the same time: one final status each."""
    first, second = shared.urls
    operator = Bare(second)
    operator.ok("register_vue", {})
    device = Bare.device(first, d1)
    ids = [send(operator, d1, f"c{n}", ttl_s=1 + n % 2)["command_id"] for n in range(20)]
    wait_until(lambda: len(commands_of(device)) == 20)
    for command_id in ids:
        device.ack_command(command_id, {"ok": True})
        device.emit("command_result", {"command_id": command_id, "ok": False, "error": "no"})
        manager.cancel_command(d1, command_id)

    def finals(command_id: str) -> list[str]:
        told = statuses_of(operator, command_id)
        return [status for status in told if status in model.FINAL_STATUSES]

    wait_until(lambda: all(finals(command_id) for command_id in ids), 10)
    wait_until(lambda: manager.store.index.get(d1)["open_commands"] == "0")  # type: ignore[index]
    assert [len(finals(command_id)) for command_id in ids] == [1] * 20
    for command_id in ids:
        assert manager.get_command(d1, command_id)["status"] == finals(command_id)[0]
    device.close()
    operator.close()


def test_answers_given_while_redis_is_away_are_kept(pair: Cluster, manager: SessionManager) -> None:
    """An ack with a result during an outage ends the command once Redis is back."""
    first, second = pair.urls
    device = Bare.device(first, "d1")
    operator = Bare(second)
    command_id = send(operator, "d1", "go")["command_id"]
    wait_until(lambda: commands_of(device) == [("go", 1)])
    pair.server.kill()
    device.ack_command(command_id, {"ok": True, "result": 7})
    answer = operator.call("send_command", {"device_id": "d1", "command": "c2"})
    assert answer["error"] == {
        "code": "store_unavailable",
        "message": str(errors.StoreUnavailable()),
        "retryable": True,
    }
    pair.server.start()
    for node in pair.nodes:
        node.await_ready()
    wait_until(lambda: manager.get_command("d1", command_id)["status"] == "succeeded", 10)
    assert manager.get_command("d1", command_id)["result"] == 7
    send(operator, "d1", "c3")
    wait_until(lambda: commands_of(device)[-1] == ("c3", 1))
    device.close()
    operator.close()
