"""Events of dashboards, over rules that note what they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from service import errors
from service.security.permissions import NOBODY, Identity
from service.sessions.model import CommandAdded, SetupState
from service.sockets import dashboards
from service.sockets.call import LATER, Call, Peer
from service.sockets.dashboards import Dashboards
from tests.support.nodes.live_fakes import SimulatedTasks

LARGEST = 10_000
CHANGED = SetupState("s1", None, 4, 0, 0, 1, 0, None)


class Bench:
    """The handlers; everything behind them notes its calls."""

    def __init__(self) -> None:
        self.tasks = SimulatedTasks()
        self.told: list[tuple[Any, ...]] = []
        self.acks: list[dict[str, Any]] = []
        self.backlog = 0
        self.details: Callable[[str], Any] = lambda session_id: {"state": "active"}
        self.is_draining = False
        self.answer: dict[str, Any] = {}
        self.rules = SimpleNamespace(
            series=SimpleNamespace(read=lambda session_id, wanted: self.answer),
            get_sessions=self._noting("list", {"sessions": [], "next": None, "total": 0}),
            details=lambda session_id: self.details(session_id),
            queue_command=self._noting(
                "queue", CommandAdded({"command_id": "c1", "status": "pending"}, True, None)
            ),
            **{
                name: self._noting(name, CHANGED)
                for name in ("update_setup", "patch_setup", "undo_setup", "redo_setup")
            },
        )
        self.waits = SimpleNamespace(check=self._check, wait=self._wait)
        self.handlers = Dashboards(
            SimpleNamespace(  # type: ignore[arg-type]
                backlog_bytes=lambda sid: self.backlog,
                emit=lambda sid, event, body: self.told.append(("emit", event)),
            ),
            self.rules,  # type: ignore[arg-type]
            SimpleNamespace(end=self._noting("end")),  # type: ignore[arg-type]
            self.waits,
            SimpleNamespace(leave_all=self._noting("leave_all")),  # type: ignore[arg-type]
            self.tasks,
            node_id="n1",
            max_answer_bytes=LARGEST,
            large=SimpleNamespace(check_read=lambda peer: None, check=lambda *_: None),  # type: ignore[arg-type]
            devices=SimpleNamespace(is_own_setup=lambda call: False),  # type: ignore[arg-type]
        )

    def _noting(self, name: str, answer: Any = None) -> Any:
        def noted(*args: Any, **options: Any) -> Any:
            self.told.append((name, *args, options))
            return answer

        return noted

    def _check(self) -> None:
        if self.is_draining:
            raise errors.Draining

    def _wait(self, session_id: str, command: Any, until: str, timeout_s: float) -> dict[str, Any]:
        self.tasks.sleep(timeout_s)
        return {**command, "status": "done"}

    def call(self, event: str, payload: dict[str, Any], peer: Peer | None = None) -> Any:
        answers = SimpleNamespace(
            ack=lambda peer, ack_id, body: self.acks.append(orjson.loads(body)),
            refuse=lambda peer, ack_id, error: self.acks.append(error.body()),
        )
        call = Call(answers, peer or Peer("s1", "a"), event, payload, 1)  # type: ignore[arg-type]
        return getattr(self.handlers, event)(call)

    def asked(self, name: str) -> list[Any]:
        return [one for one in self.told if one[0] == name]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("event", "states"),
    [("get_active_sessions", ("active",)), ("get_inactive_sessions", ("inactive", "archived"))],
)
def test_lists_are_of_active_sessions_and_of_all_others(
    bench: Bench, event: str, states: tuple[str, ...]
) -> None:
    bench.call(event, {})
    [(_, asked, _)] = bench.asked("list")
    assert asked == states


@pytest.mark.parametrize(
    ("projects", "wanted", "asked"),
    [
        (None, None, (None, None)),
        (None, "p1", ("p1", None)),
        ({"p1"}, None, ("p1", None)),
        ({"p1", "p2"}, None, (None, {"p1", "p2"})),
        ({"p1", "p2"}, "p2", ("p2", None)),
        (set(), None, (None, set())),
    ],
)
def test_list_is_narrowed_to_the_projects_of_the_token(
    bench: Bench, projects: set[str] | None, wanted: str | None, asked: tuple[Any, Any]
) -> None:
    identity = Identity("viewer", projects=None if projects is None else frozenset(projects))
    bench.call("get_active_sessions", {"project_id": wanted}, Peer("s1", "a", identity))
    [(_, _, options)] = bench.asked("list")
    assert (options["project_id"], options["projects"]) == asked


@pytest.mark.parametrize("state", ["active", "inactive", "archived"])
def test_one_session_is_found_by_the_event_of_its_state_only(bench: Bench, state: str) -> None:
    bench.details = lambda session_id: {"state": state}
    right, wrong = "get_inactive_session", "get_active_session"
    if state == "active":
        right, wrong = wrong, right
    assert bench.call(right, {"session_id": "s1"}) is LATER
    with pytest.raises(errors.SessionNotFound):
        bench.call(wrong, {"session_id": "s1"})


def test_so_many_whole_sessions_are_read_at_a_time(bench: Bench) -> None:
    reading: list[int] = []
    at_once = 0

    def read(session_id: str) -> dict[str, Any]:
        nonlocal at_once
        at_once += 1
        reading.append(at_once)
        bench.tasks.sleep(1)
        at_once -= 1
        return {"state": "active"}

    bench.details = read
    for _ in range(3 * dashboards.MAX_READING):
        bench.tasks.spawn(bench.call, "get_active_session", {"session_id": "s1"})
    bench.tasks.run(5)
    assert max(reading) == dashboards.MAX_READING
    assert len(reading) == 3 * dashboards.MAX_READING, "each gives its place back"


def test_answer_that_a_socket_cannot_take_is_refused(bench: Bench) -> None:
    large = "x" * LARGEST
    bench.details = lambda session_id: {"state": "active", "name": large}
    bench.answer = {"points": large}
    with pytest.raises(errors.TooLarge):
        bench.call("get_active_session", {"session_id": "s1"})
    with pytest.raises(errors.TooLarge):
        bench.call("get_data", {"session_id": "s1", "keys": ["a"]})
    assert bench.acks == []


def test_answer_is_emitted_once_the_socket_has_taken_its_ack(bench: Bench) -> None:
    bench.backlog = LARGEST
    bench.tasks.spawn(bench.call, "get_active_session", {"session_id": "s1"})
    bench.tasks.run(1)
    assert len(bench.acks) == 1
    assert bench.asked("emit") == []
    bench.backlog = 0
    bench.tasks.run(1)
    assert bench.asked("emit") == [("emit", "active_session")]


class TestCommands:
    """`send_command` and its waits."""

    COMMAND = {"session_id": "s1", "command": "go"}  # noqa: RUF012

    def test_queued_is_answered_at_once_and_has_no_waiter(self, bench: Bench) -> None:
        answer = bench.call("send_command", self.COMMAND)
        assert answer == {"command_id": "c1", "status": "pending"}
        [(*_, options)] = bench.asked("queue")
        assert options["waiter"] == ""

    def test_wait_is_told_at_this_node(self, bench: Bench) -> None:
        wanted = {**self.COMMAND, "wait": "result", "timeout_s": 2}
        assert bench.call("send_command", wanted) is LATER
        [(*_, options)] = bench.asked("queue")
        assert options["waiter"] == "n1"
        assert bench.acks == []
        bench.tasks.run(3)
        assert [one["status"] for one in bench.acks] == ["done"]

    def test_socket_waits_for_so_many_and_for_others_when_those_are_over(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboards, "MAX_WAITS", 2)
        peer = Peer("s1", "a")
        wanted = {**self.COMMAND, "wait": "delivered", "timeout_s": 1}
        for _ in range(3):
            for _ in range(2):
                bench.call("send_command", wanted, peer)
            with pytest.raises(errors.Overloaded):
                bench.call("send_command", wanted, peer)
            bench.tasks.run(2)
        bench.call("send_command", wanted, Peer("s2", "a"))
        assert len(bench.asked("queue")) == 7, "what is refused is not queued"

    def test_node_that_ends_queues_nothing_that_it_would_wait_for(self, bench: Bench) -> None:
        bench.is_draining = True
        with pytest.raises(errors.Draining):
            bench.call("send_command", {**self.COMMAND, "wait": "result"})
        assert bench.asked("queue") == []
        bench.call("send_command", self.COMMAND)
        assert len(bench.asked("queue")) == 1


@pytest.mark.parametrize("version", [None, 3])
@pytest.mark.parametrize(
    ("event", "payload", "rule"),
    [
        ("update_setup", {"setup": {"a": 1}}, "update_setup"),
        ("update_setup", {"patch": {"a": 1}}, "patch_setup"),
        ("undo_setup", {}, "undo_setup"),
        ("redo_setup", {}, "redo_setup"),
    ],
)
def test_version_that_was_seen_is_that_which_is_changed(
    bench: Bench, event: str, payload: dict[str, Any], rule: str, version: int | None
) -> None:
    answer = bench.call(event, {"session_id": "s1", "version": version, **payload})
    [(*_, options)] = bench.asked(rule)
    assert options == {"version": version}
    assert answer == {"setup_version": 4, "undo_available": True, "redo_available": False}


def test_socket_that_is_gone_watches_nothing_and_is_no_client(bench: Bench) -> None:
    peer = Peer("s1", "a", NOBODY)
    bench.handlers.disconnected(peer, "transport close")
    assert [one[:2] for one in bench.told] == [("end", peer), ("leave_all", peer)]


def test_session_that_does_not_exist_for_a_token_is_refused_before_its_handler() -> None:
    handlers: dict[str, Any] = {}

    def missing(identity: Identity, session_id: str) -> None:
        raise errors.SessionNotFound(session_id=session_id)

    dispatcher = SimpleNamespace(on=handlers.__setitem__, on_disconnect=lambda listener: None)
    bench = Bench()
    dashboards.register(dispatcher, bench.handlers, SimpleNamespace(check_session=missing))  # type: ignore[arg-type]
    payload = {"session_id": "s1", "command": "go", "setup": {}, "keys": ["a"]}
    refused = []
    for event, handler in handlers.items():
        call = Call(SimpleNamespace(), Peer("s1", "a"), event, payload, None)  # type: ignore[arg-type]
        if event.endswith("sessions") or event == "register_vue":
            continue
        with pytest.raises(errors.SessionNotFound):
            handler(call)
        refused.append(event)
    assert len(refused) == 10
    assert bench.told == []
