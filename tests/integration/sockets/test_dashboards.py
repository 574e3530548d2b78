"""The dashboards' door over a real store and feed, on two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from service import errors
from service.sessions.store.store import RedisSessionStore
from service.sockets import snapshot
from tests.support.nodes import Network, Node
from tests.support.stores import make_store, part
from tests.support.waiting import wait_until


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, partitions=2, flapping_registers=0, max_queued=5)


@pytest.fixture
def nodes(store: RedisSessionStore, redis_url: str) -> Iterator[tuple[Node, Node]]:
    network = Network()
    pair = Node(store, redis_url, network), Node(store, redis_url, network)
    yield pair
    for node in pair:
        node.close()


@pytest.fixture
def node(nodes: tuple[Node, Node]) -> Node:
    return nodes[0]


@pytest.fixture
def other(nodes: tuple[Node, Node]) -> Node:
    return nodes[1]


def code_of(answer: dict[str, Any]) -> str:
    assert answer["ok"] is False
    return str(answer["error"]["code"])


def append(store: RedisSessionStore, number: int, session_id: str, *values: Any) -> None:
    generation = int((store.index.get(session_id) or {})["generation"])
    samples = [("speed", value) for value in values]
    partition = store.keys.partition(session_id)
    results = store.samples.append(
        partition, "writer", number, [part(session_id, generation, *samples)]
    )
    assert [result.word for result in results] == ["ok"]


# --- watching


def test_register_vue_tells_the_snapshot_then_what_comes_after(node: Node, other: Node) -> None:
    """A dashboard on one node sees what a device on the other one does from then on."""
    other.device("d1", session_name="Kiosk", project_id="p")
    node.store.ownership.create("s2", "made by hand")
    client = node.client()
    answer = client.call("register_vue", {})
    assert answer["ok"] and answer["recovered"] is False and "next" not in answer
    assert answer["counts"] == {"active": 2, "inactive": 0, "archived": 0}
    assert sorted(one["session_id"] for one in answer["active"]) == ["d1", "s2"]
    assert client.events() == []
    append(node.store, 1, "d1", 4.5)
    wait_until(lambda: client.events("session_data_key_update"))
    [(_, update)] = client.events("session_data_key_update")
    assert (update["device_id"], update["session_id"]) == ("d1", "d1")
    assert (update["key"], update["value"], update["ts"]) == ("speed", 4.5, 1.5)
    other.device("d3")
    wait_until(lambda: client.events("sessions_update"))
    _, change = client.events("sessions_update")[-1]
    assert [one["session_id"] for one in change["changed"]] == ["d3"]
    assert change["counts"]["active"] == 3


def test_register_vue_batch_scope_of_sessions_shows_only_those(node: Node) -> None:
    """With `batch` all samples of the named sessions come in one event, and no others."""
    for session_id in ("d1", "d2"):
        node.device(session_id)
    client = node.client()
    answer = client.call("register_vue", {"scope": {"sessions": ["d1", "unknown"]}, "batch": True})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    assert answer["counts"] == {"active": 1, "inactive": 0, "archived": 0}
    append(node.store, 1, "d2", 1)
    append(node.store, 2, "d1", 2, 3)
    wait_until(lambda: client.events("session_data_updates"))
    [(_, batch)] = client.events("session_data_updates")
    [[session_id, _, samples]] = batch["updates"]
    assert (session_id, samples) == ("d1", [["speed", 2, 1.5], ["speed", 3, 1.5]])
    assert batch["cursor"]
    assert client.events("session_data_key_update") == []


def test_register_vue_scope_of_a_project_follows_its_sessions(node: Node) -> None:
    """A session that joins the project appears, one that leaves it is removed."""
    node.device("d1", project_id="p")
    node.device("d2", project_id="other")
    client = node.client()
    answer = client.call("register_vue", {"scope": {"project_id": "p"}})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    assert answer["counts"]["active"] == 1
    node.device("d2", project_id="p")
    node.device("d1", project_id="other")

    def seen() -> bool:
        updates = [payload for _, payload in client.events("sessions_update")]
        changed = [one["session_id"] for update in updates for one in update["changed"]]
        removed = [one for update in updates for one in update["removed"]]
        return "d2" in changed and "d1" in removed

    wait_until(seen)


def test_register_vue_with_a_cursor_on_the_other_node_tells_exactly_what_was_missed(
    node: Node, other: Node
) -> None:
    """Guarantee 4: nothing twice, nothing missing, on whatever node the dashboard comes back."""
    device = node.device("d1")
    client = node.client()
    client.call("register_vue", {"batch": True})
    append(node.store, 1, "d1", 1)
    wait_until(lambda: client.events("session_data_updates"))
    cursor = client.events("session_data_updates")[-1][1]["cursor"]
    client.close()
    append(node.store, 2, "d1", 2)
    append(node.store, 3, "d1", 3)
    again = other.client()
    answer = again.call("register_vue", {"batch": True, "cursor": cursor})
    assert answer["recovered"] is True
    assert (answer["active"], answer["inactive"]) == ([], [])
    append(node.store, 4, "d1", 4)
    assert device

    def values() -> list[Any]:
        batches = [payload for _, payload in again.events("session_data_updates")]
        return [s[1] for batch in batches for update in batch["updates"] for s in update[2]]

    wait_until(lambda: len(values()) >= 3)
    assert values() == [2, 3, 4]


@pytest.mark.parametrize("what", ["nonsense", "another scope", "the future", "trimmed", "flushed"])
def test_register_vue_with_a_cursor_that_cannot_be_honoured_tells_a_snapshot(
    node: Node, redis_client: redis.Redis, what: str
) -> None:
    """Never a partial recovery: `recovered` is false and the whole snapshot follows."""
    node.device("d1")
    client = node.client()
    cursor = client.call("register_vue", {})["cursor"]
    node.device("d2")
    if what == "nonsense":
        cursor = "a cursor"
    elif what == "another scope":
        cursor = client.call("register_vue", {"scope": {"sessions": ["d1"]}})["cursor"]
    elif what == "the future":
        head, _, tail = cursor.rpartition(".")
        cursor = head + "." + "-".join(str(int(n) + 1_000_000) for n in tail.split("-"))
    elif what == "trimmed":
        for p in range(2):
            redis_client.xtrim(node.store.keys.feed(p), maxlen=0)
    else:
        for p in range(2):
            redis_client.delete(node.store.keys.feed(p), node.store.keys.epoch(p))
    answer = client.call("register_vue", {"cursor": cursor})
    assert answer["recovered"] is False
    assert sorted(one["session_id"] for one in answer["active"]) == ["d1", "d2"]
    assert answer["cursor"] not in (None, cursor)


def test_register_vue_feed_lost_while_watching_tells_resync(
    node: Node, redis_client: redis.Redis
) -> None:
    """An emptied Redis is no silent gap: the dashboard is asked to begin anew, and can."""
    client = node.client()
    client.call("register_vue", {})
    keys = list(redis_client.scan_iter(f"{node.store.keys.prefix}:*"))
    redis_client.delete(*keys)
    node.device("d1")
    wait_until(lambda: client.events("resync"), 10)
    answer = client.call("register_vue", {})
    assert [one["session_id"] for one in answer["active"]] == ["d1"]
    node.device("d2")
    wait_until(lambda: client.events("sessions_update"))


def test_register_vue_in_pages_misses_nothing_that_moves_meanwhile(
    node: Node, other: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages from both nodes plus what the feed tells afterwards are the fleet as it is."""
    monkeypatch.setattr(snapshot, "PAGE_SESSIONS", 4)
    for n in range(7):
        node.store.ownership.create(f"s{n}")
    device = other.device("was-active")
    other.device("stays-active")
    clients = [node.client(), other.client()]
    answer = clients[0].call("register_vue", {"batch": True, "interval_ms": 20})
    seen: dict[str, dict[str, Any]] = {}
    pages = 1
    while answer.get("next"):
        assert answer["cursor"] is None
        seen.update((one["session_id"], one) for one in answer["active"] + answer["inactive"])
        if pages == 1:  # churn behind the reader's back, one of each kind
            owned = device.node.owned.of("was-active")
            assert owned is not None
            partition = other.store.keys.partition("was-active")
            claim = ("was-active", owned.sid, owned.generation)
            other.store.ownership.disconnect(partition, other.node_id, [claim], "gone")
            other.device("came")
            node.manager.delete_session("s0")
        answer = clients[pages % 2].call("register_vue", {"page": answer["next"]})
        pages += 1
    seen.update((one["session_id"], one) for one in answer["active"] + answer["inactive"])
    assert answer["cursor"] and pages >= 3
    client = clients[(pages - 1) % 2]

    def fleet() -> dict[str, str]:
        state = {session_id: one["state"] for session_id, one in seen.items()}
        for _, update in client.events("sessions_update"):
            for session_id in update["removed"]:
                state.pop(session_id, None)
            state.update((one["session_id"], one["state"]) for one in update["changed"])
        return state

    expected = {f"s{n}": "active" for n in range(1, 7)}
    expected |= {"was-active": "inactive", "stays-active": "active", "came": "active"}
    wait_until(lambda: fleet() == expected, what="the fleet")


def test_register_vue_pages_of_named_sessions_go_on_where_they_ended(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named sessions come in pages too, each once."""
    monkeypatch.setattr(snapshot, "PAGE_SESSIONS", 3)
    ids = [f"s{n}" for n in range(7)]
    for session_id in ids:
        node.store.ownership.create(session_id)
    client = node.client()
    answer = client.call("register_vue", {"scope": {"sessions": ids}})
    seen = []
    while True:
        seen += [one["session_id"] for one in answer["active"]]
        if not answer.get("next"):
            break
        answer = client.call("register_vue", {"page": answer["next"]})
    assert seen == ids


@pytest.mark.parametrize(
    "payload",
    [
        [],
        {"scope": "all"},
        {"scope": {}},
        {"scope": [1]},
        {"scope": {"sessions": ["a", ""]}},
        {"scope": {"sessions": []}},
        {"scope": {"sessions": ["a"], "project_id": "p"}},
        {"scope": {"project_id": 5}},
        {"batch": "yes"},
        {"interval_ms": 0},
        {"page": "not a token"},
        {"page": "WzEsMl0"},
        {"page": "WzEse30sIngiLCJhY3RpdmUiLG51bGxd"},
        {"cursor": 7},
    ],
)
def test_register_vue_hostile_payload_is_refused_and_changes_nothing(
    node: Node, payload: Any
) -> None:
    """A refusal leaves the earlier subscription alone."""
    client = node.client()
    client.call("register_vue", {})
    assert code_of(client.call("register_vue", payload)) == "invalid_request"
    node.device("d1")
    wait_until(lambda: client.events("sessions_update"))


def test_register_vue_of_too_many_sessions_is_too_large(node: Node) -> None:
    error = node.client().call(
        "register_vue", {"scope": {"sessions": [f"s{n}" for n in range(1001)]}}
    )["error"]
    assert error["code"] == "too_large"
    assert error["message"] == "scope.sessions may hold 1000 ids"


def test_register_vue_again_replaces_what_was_watched(node: Node) -> None:
    """A socket watches one scope: the last one."""
    node.device("d1")
    node.device("d2")
    client = node.client()
    client.call("register_vue", {"scope": {"sessions": ["d1"]}})
    client.call("register_vue", {"scope": {"sessions": ["d2"]}})
    append(node.store, 1, "d1", 1)
    append(node.store, 2, "d2", 2)
    wait_until(lambda: client.events("session_data_key_update"))
    updates = client.events("session_data_key_update")
    assert [update["session_id"] for _, update in updates] == ["d2"]
    client.close()
    assert node.fanout.figures()["dashboards"] == 0


# --- reading


def test_get_sessions_pages_and_filters(node: Node) -> None:
    """Lists come in pages, filtered by the beginning of an id or name, as ack and as event."""
    for n in range(5):
        node.device(f"bus-{n}", project_id="p" if n < 2 else "")
    node.store.ownership.create("tram", "Bus without rubber tyres")
    client = node.client()
    first = client.call("get_active_sessions", {"limit": 4})
    assert (len(first["sessions"]), first["total"]) == (4, 6)
    rest = client.call("get_active_sessions", {"limit": 4, "cursor": first["next"]})
    assert rest["next"] is None
    ids = [one["session_id"] for one in first["sessions"] + rest["sessions"]]
    assert sorted(ids) == [*(f"bus-{n}" for n in range(5)), "tram"]
    [(_, event), _] = client.events("active_sessions")
    assert event == {name: first[name] for name in ("sessions", "next", "total")}
    assert len(client.call("get_active_sessions", {"q": "bus"})["sessions"]) == 6
    assert len(client.call("get_active_sessions", {"project_id": "p"})["sessions"]) == 2
    assert client.call("get_inactive_sessions")["sessions"] == []
    assert client.events("inactive_sessions")[0][1]["total"] == 0
    assert code_of(client.call("get_active_sessions", {"cursor": "%"})) == "invalid_request"
    assert code_of(client.call("get_active_sessions", {"limit": 0})) == "invalid_request"


def test_get_active_session_shows_everything_of_it(node: Node) -> None:
    """Histories, telemetry, setup, statistics; asked for under either name of the field."""
    node.device("d1", session_name="Kiosk")
    append(node.store, 1, "d1", 1, 2)
    node.manager.update_setup("d1", {"a": 1})
    client = node.client()
    session = client.call("get_active_session", {"device_id": "d1"})["session"]
    assert session["data"] == {"speed": [[1, 1.5], [2, 1.5]]}
    assert session["telemetry"] == {"speed": 2}
    assert session["setup"] == {"a": 1}
    assert session["statistics"]["updates"] == 2
    assert isinstance(session["created_at"], float)
    assert client.events("active_session")[0][1]["session"]["session_id"] == "d1"
    assert client.call("get_active_session", {"session_id": "d1"})["ok"]
    assert code_of(client.call("get_inactive_session", {"device_id": "d1"})) == "session_not_found"
    assert code_of(client.call("get_active_session", {"device_id": "?"})) == "session_not_found"
    assert code_of(client.call("get_active_session", {})) == "invalid_request"
    client.emit("get_active_session", {"device_id": "?"})
    assert client.events("service_error")[0][1]["code"] == "session_not_found"


def test_get_active_session_larger_than_a_socket_takes_is_too_large(node: Node) -> None:
    """An answer that would cost the client its connection is refused instead."""
    node.device("d1")
    for number in range(1, 7):
        append(node.store, number, "d1", "x" * 60_000)
    answer = node.client().call("get_active_session", {"device_id": "d1"})
    assert code_of(answer) == "too_large"


# --- commands


def test_send_command_reaches_the_device_on_the_other_node(node: Node, other: Node) -> None:
    """Queued here, sent there, and its fate comes back to the dashboard that watches."""
    device = other.device("d1")
    client = node.client()
    client.call("register_vue", {})
    answer = client.call("send_command", {"device_id": "d1", "command": "go", "params": {"n": 1}})
    assert answer["status"] == "queued"
    [command] = wait_until(device.commands)
    assert command == {
        "command_id": answer["command_id"],
        "command": "go",
        "params": {"n": 1},
        "attempt": 1,
    }
    device.answer(command["command_id"], {"ok": True, "result": {"went": 3}})

    def statuses() -> list[str]:
        return [update["status"] for _, update in client.events("command_update")]

    wait_until(lambda: statuses() == ["queued", "sent", "succeeded"], what="statuses")
    _, last = client.events("command_update")[-1]
    assert last["result"] == {"went": 3}
    assert (last["session_id"], last["command"]) == ("d1", "go")


def test_send_command_wait_for_the_result_holds_up_nothing_else(node: Node, other: Node) -> None:
    """The ack comes with the device's answer; the socket's other events do not wait for it."""
    device = other.device("d1")
    client = node.client()
    wanted = {"device_id": "d1", "command": "go", "wait": "result"}
    number = client.ask("send_command", wanted)
    [command] = wait_until(device.commands)
    assert client.call("get_active_sessions")["ok"]
    assert client.ack(number) is None
    device.answer(command["command_id"], {"ok": False, "error": {"code": "jammed"}})
    answer = wait_until(lambda: client.ack(number))
    assert answer == {
        "ok": True,
        "command_id": command["command_id"],
        "status": "failed",
        "error": {"code": "jammed"},
    }


def test_send_command_wait_for_delivery_ends_with_the_ack(node: Node, other: Node) -> None:
    """A bare ack is a delivery."""
    device = other.device("d1")
    client = node.client()
    number = client.ask("send_command", {"device_id": "d1", "command": "go", "wait": "delivered"})
    [command] = wait_until(device.commands)
    device.answer(command["command_id"])
    answer = wait_until(lambda: client.ack(number))
    assert answer["status"] == "delivered"


def test_send_command_wait_too_long_is_command_timeout_and_goes_on(node: Node) -> None:
    """`timeout_s` ends the wait, not the command."""
    device = node.device("d1")
    client = node.client()
    wanted = {"device_id": "d1", "command": "go", "wait": "result", "timeout_s": 0.05}
    answer = client.call("send_command", wanted)
    assert code_of(answer) == "command_timeout"
    [command] = wait_until(device.commands)
    assert answer["error"]["command_id"] == command["command_id"]
    device.answer(command["command_id"], {"ok": True})
    wait_until(
        lambda: node.manager.get_command("d1", command["command_id"])["status"] == "succeeded"
    )


def test_send_command_offline_is_kept_in_order_unless_it_says_now(node: Node) -> None:
    """Without a connection commands wait; `ttl_s: 0` does not; too many are refused."""
    node.store.ownership.create("d1")
    client = node.client()
    now = client.call("send_command", {"device_id": "d1", "command": "go", "ttl_s": 0})
    assert code_of(now) == "device_offline"
    ids = [
        client.call("send_command", {"device_id": "d1", "command": f"c{n}"})["command_id"]
        for n in range(5)
    ]
    full = client.call("send_command", {"device_id": "d1", "command": "one more"})
    assert code_of(full) == "overloaded" and full["error"]["retryable"]
    device = node.device("d1")
    wait_until(lambda: len(device.commands()) == 5)
    assert [command["command_id"] for command in device.commands()] == ids


def test_send_command_same_idempotency_key_is_one_command(node: Node, other: Node) -> None:
    """Asked twice, on two nodes, done once."""
    node.store.ownership.create("d1")
    wanted = {"device_id": "d1", "command": "go", "idempotency_key": "k"}
    first = node.client().call("send_command", wanted)
    second = other.client().call("send_command", wanted)
    assert first["command_id"] == second["command_id"]
    device = node.device("d1")
    wait_until(device.commands)
    wait_until(lambda: not node.delivery.is_sending("d1"))
    assert len(device.commands()) == 1


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"device_id": "d1"}, "invalid_request"),
        ({"command": "go"}, "invalid_request"),
        ({"device_id": "?", "command": "go"}, "session_not_found"),
        ({"device_id": "d1", "command": ""}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "wait": "ever"}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "ttl_s": -1}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "timeout_s": "1"}, "invalid_request"),
        ({"device_id": "d1", "command": "go", "params": "x" * 70_000}, "too_large"),
        ({"device_id": "d1", "session_id": "d2", "command": "go"}, "invalid_request"),
    ],
)
def test_send_command_bad_payload_is_refused(
    node: Node, payload: dict[str, Any], code: str
) -> None:
    """Nothing of it reaches the device."""
    node.store.ownership.create("d1")
    assert code_of(node.client().call("send_command", payload)) == code
    assert node.store.commands.all("d1") == []


def test_send_command_more_waits_than_a_socket_may_have_is_overloaded(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits are bounded per socket, and one that ended makes room."""
    monkeypatch.setattr("service.sockets.dashboards.MAX_WAITS", 1)
    device = node.device("d1")
    client = node.client()
    wanted = {"device_id": "d1", "command": "go", "wait": "delivered"}
    number = client.ask("send_command", wanted)
    assert code_of(client.call("send_command", wanted)) == "overloaded"
    [command] = wait_until(device.commands)
    device.answer(command["command_id"])
    wait_until(lambda: client.ack(number))
    wait_until(lambda: client.ask("send_command", wanted) and len(device.commands()) > 1)


# --- sessions and setups


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
    assert code_of(step("update_setup", setup={}, version=1)) == "precondition_failed"
    assert step("undo_setup")["redo_available"] is True
    assert step("redo_setup", version=3)["setup_version"] == 4
    assert code_of(step("redo_setup")) == "conflict"
    assert code_of(step("undo_setup", version=1)) == "precondition_failed"
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
