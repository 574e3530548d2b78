"""Dashboards that delete, join and leave sessions and write setups, on two nodes."""

from __future__ import annotations

from typing import Any

import pytest

from service import errors
from tests.support.clients.dashboards import code_of
from tests.support.nodes.nodes import Node
from tests.support.waiting import wait_until


def test_delete_session_tells_the_device_and_the_dashboards(node: Node, other: Node) -> None:
    """The device hears `deleted` and is disconnected; a command that waited is cancelled."""
    device = other.device("d1")
    client = node.client()
    client.call("register_vue", {})
    number = client.ask("send_command", {"device_id": "d1", "command": "go", "wait": "result"})
    wait_until(device.commands)
    assert client.call("delete_session", {"device_id": "d1"}) == {"ok": True}
    assert [event for event, _ in device.events()][-1] == "deleted"
    assert device.sid in other.sockets.closed
    wait_until(
        lambda: any("d1" in update["removed"] for _, update in client.events("sessions_update"))
    )
    answer = wait_until(lambda: client.ack(number))
    assert answer["status"] == "cancelled"
    assert code_of(client.call("delete_session", {"device_id": "d1"})) == "session_not_found"


def test_join_and_leave_count_clients_of_all_nodes(node: Node, other: Node) -> None:
    """`active_clients` is exact over nodes, however often the same socket joins or leaves."""
    node.store.ownership.create("s1")
    first, second = node.client(), other.client()
    assert first.call("join_session", {"session_id": "s1"})["active_clients"] == 1
    assert first.call("join_session", {"session_id": "s1"})["active_clients"] == 1
    assert second.call("join_session", {"session_id": "s1"})["active_clients"] == 2
    assert second.call("leave_session", {"session_id": "s1"})["active_clients"] == 1
    assert second.call("leave_session", {"session_id": "s1"})["active_clients"] == 1
    first.close()
    wait_until(lambda: node.store.ownership.clients("s1") == [])
    [summary] = node.store.index.summaries(["s1"])
    assert summary is not None and summary["active_clients"] == "0"
    assert code_of(second.call("join_session", {"session_id": "?"})) == "session_not_found"
    assert code_of(second.call("leave_session", {"session_id": "?"})) == "session_not_found"


def test_leave_while_redis_is_away_is_made_up_for(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that goes during an outage does not stay a client for ever."""
    node.store.ownership.create("s1")
    client = node.client()
    client.call("join_session", {"session_id": "s1"})
    leave, failures = node.store.ownership.leave, [errors.StoreUnavailable(), errors.Overloaded()]

    def away(*words: str) -> int:
        if failures:
            raise failures.pop()
        return leave(*words)

    monkeypatch.setattr(node.store.ownership, "leave", away)
    client.close()
    wait_until(lambda: node.store.ownership.clients("s1") == [])
    wait_until(lambda: not node.rooms.is_leaving)


def test_join_whose_answer_was_lost_does_not_leave_a_ghost(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis counted the client and the node never heard: it is taken out again."""
    node.store.ownership.create("s1")
    client = node.client()
    join = node.store.ownership.join

    def lost(*words: str) -> int:
        join(*words)
        raise errors.StoreUnavailable

    monkeypatch.setattr(node.store.ownership, "join", lost)
    assert code_of(client.call("join_session", {"session_id": "s1"})) == "store_unavailable"
    wait_until(lambda: node.store.ownership.clients("s1") == [])


def test_rejoin_counts_the_clients_of_a_node_that_was_let_go(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a pause or an emptied Redis those that had joined are counted again."""
    node.store.ownership.create("s1")
    node.store.ownership.create("gone")
    client = node.client()
    for session_id in ("s1", "gone"):
        client.call("join_session", {"session_id": session_id})
    node.store.ownership.leave("s1", node.node_id, client.sid)
    node.store.cleanup.delete("gone")
    failures = [errors.StoreUnavailable()]
    join = node.store.ownership.join

    def away(*words: str) -> int:
        if failures:
            raise failures.pop()
        return join(*words)

    monkeypatch.setattr(node.store.ownership, "join", away)
    for partition in range(2):
        node.rooms.rejoin(partition)
    wait_until(lambda: node.dispatcher.peers[client.sid].joined == {"s1"})
    wait_until(lambda: node.store.ownership.clients("s1") == [f"{node.node_id}#{client.sid}"])


def test_update_setup_versions_patches_undo_and_redo(node: Node, other: Node) -> None:
    """Each change is a version; a wrong version changes nothing; the device is sent each."""
    device = other.device("d1")
    client = node.client()

    def step(event: str, **payload: Any) -> dict[str, Any]:
        return client.call(event, {"session_id": "d1", **payload})

    first = step("update_setup", setup={"a": 1, "b": {"c": 2}})
    expected = {"ok": True, "setup_version": 1, "undo_available": True, "redo_available": False}
    assert first == expected
    assert step("update_setup", patch={"b": {"c": None, "d": 3}}, version=1)["setup_version"] == 2
    refused = step("update_setup", setup={}, version=1)
    assert code_of(refused) == "precondition_failed"
    assert refused["error"]["setup_version"] == 2
    assert step("undo_setup")["redo_available"] is True
    assert step("redo_setup", version=3)["setup_version"] == 4
    assert code_of(step("redo_setup")) == "conflict"
    refused = step("undo_setup", version=1)
    assert (code_of(refused), refused["error"]["setup_version"]) == ("precondition_failed", 4)
    assert code_of(step("update_setup")) == "invalid_request"
    assert code_of(step("update_setup", setup=1, patch=1)) == "invalid_request"
    answer = client.call("update_setup", {"session_id": "?", "setup": {}})
    assert code_of(answer) == "session_not_found"
    sent = [payload for _, payload in device.events("setup")]
    assert sent == [
        {"setup": {"a": 1, "b": {"c": 2}}, "setup_version": 1},
        {"setup": {"a": 1, "b": {"d": 3}}, "setup_version": 2},
        {"setup": {"a": 1, "b": {"c": 2}}, "setup_version": 3},
        {"setup": {"a": 1, "b": {"d": 3}}, "setup_version": 4},
    ]


def test_update_setup_without_a_session_is_the_devices_own(node: Node) -> None:
    """One event, two doors: who names no session means itself."""
    assert node.client().call("update_setup", {"setup": {}}) == {"ok": True, "own": True}


def test_join_more_sessions_than_a_socket_may_is_overloaded(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a node remembers per socket is bounded; leaving one makes room."""
    monkeypatch.setattr("service.sockets.rooms.MAX_JOINED", 1)
    for session_id in ("s1", "s2"):
        node.store.ownership.create(session_id)
    client = node.client()
    client.call("join_session", {"session_id": "s1"})
    assert code_of(client.call("join_session", {"session_id": "s2"})) == "overloaded"
    client.call("leave_session", {"session_id": "s1"})
    assert client.call("join_session", {"session_id": "s2"})["active_clients"] == 1
