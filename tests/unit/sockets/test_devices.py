"""Events of devices: each acts on its own session, as the connection that owns it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from service import errors
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.security import permissions
from service.security.permissions import Identity
from service.sessions.model import SetupState
from service.sockets.call import Call, Peer
from service.sockets.devices import Devices

CHANGED = SetupState("d1", None, 4, 0, 0, 1, 0, None)
BEYOND = "18446744073709551616"


class Bench:
    """The handlers; everything behind them notes its calls."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        #: What became of a command's result; None: there is no such command.
        self.change: Any = SimpleNamespace(status="done")
        self.devices = Devices(
            reports=SimpleNamespace(reported=self._noting("reported")),
            setups=SimpleNamespace(update_setup=self._noting("update_setup", CHANGED)),
            ingest=SimpleNamespace(add=self._noting("add")),  # type: ignore[arg-type]
            commands=SimpleNamespace(  # type: ignore[arg-type]
                read_ack=lambda arguments: (True, None, None),
                finish=lambda *args: self.change,
                lose=self._noting("lose"),
            ),
            dispatcher=SimpleNamespace(emit=self._noting("emit")),  # type: ignore[arg-type]
            clock=SimpleNamespace(now_s=lambda: 7.0, now_ms=lambda: 7000),
            heard_of=OwnedSessions().heard_of,
            reclaim=self._reclaim,
            max_value_bytes=1000,
        )
        #: What the next calls raise; and what a reclaim finds.
        self.refusals: list[errors.ServiceError] = []
        self.lost = ""

    def _reclaim(self, partition: int, claims: list[OwnedSession]) -> None:
        for owned in claims:
            self.told.append(("reclaim", partition, owned.session_id))
            owned.lost = self.lost

    def _noting(self, name: str, answer: Any = None) -> Any:
        def noted(*args: Any, **options: Any) -> Any:
            self.told.append((name, *args, options))
            if self.refusals:
                raise self.refusals.pop()
            return answer

        return noted

    def words(self) -> list[str]:
        return [one[0] for one in self.told]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def peer() -> Peer:
    peer = Peer("s1", "address")
    peer.device = OwnedSession("d1", "s1", 0, 7)
    return peer


def call(peer: Peer, payload: Any) -> Call:
    return Call(SimpleNamespace(), peer, "event", payload, None)  # type: ignore[arg-type]


def update(bench: Bench, peer: Peer, text: str) -> None:
    bench.devices.update_data(peer, orjson.loads(text), 1, text)


@pytest.mark.parametrize("word", ["session_id", "device_id"])
@pytest.mark.parametrize("event", ["update_data", "update_telemetry"])
def test_samples_are_of_the_socket_itself(bench: Bench, peer: Peer, event: str, word: str) -> None:
    samples = {"data": {"a": 1}, "telemetry": {"a": 1}}
    name = "data" if event == "update_data" else "telemetry"
    payload = {word: "d1", name: samples[name]}
    handler = getattr(bench.devices, event)
    handler(peer, payload, 1, orjson.dumps(payload).decode())
    assert bench.words() == ["add"]
    payload[word] = "d2"
    with pytest.raises(errors.NotAllowed):
        handler(peer, payload, 1, orjson.dumps(payload).decode())
    assert len(bench.told) == 1


def test_digits_that_would_be_lost_are_refused(bench: Bench, peer: Peer) -> None:
    with pytest.raises(errors.InvalidRequest):
        update(bench, peer, f'{{"key": "a", "value": {BEYOND}}}')
    text = f'{{"telemetry": {{"a": {BEYOND}}}}}'
    with pytest.raises(errors.InvalidRequest):
        bench.devices.update_telemetry(peer, orjson.loads(text), 1, text)
    assert bench.told == []


@pytest.mark.parametrize(
    ("lost", "error"),
    [("superseded", errors.StaleGeneration), ("deleted", errors.SessionNotFound)],
)
def test_socket_that_lost_its_session_changes_nothing(
    bench: Bench, peer: Peer, lost: str, error: type[errors.ServiceError]
) -> None:
    peer.device.lost = lost
    with pytest.raises(error):
        update(bench, peer, '{"key": "a", "value": 1}')
    for handler in (bench.devices.update_setup, bench.devices.pong, bench.devices.command_result):
        with pytest.raises(error):
            handler(call(peer, {"setup": {}, "command_id": "c1", "ok": True}))
    bench.devices.cut_short(peer, '["command_result",{"command_id":"c1"', errors.TooLarge())
    assert bench.told == []


def test_setup_and_the_version_that_runs_are_of_its_generation(bench: Bench, peer: Peer) -> None:
    bench.devices.update_setup(call(peer, {"setup": {"a": 1}, "version": 3}))
    bench.devices.update_setup(call(peer, {"reported_version": 4}))
    assert bench.told == [
        ("update_setup", "d1", {"a": 1}, {"version": 3, "generation": 7}),
        ("reported", "d1", 7, 4, {}),
    ]


@pytest.mark.parametrize("refusal", [errors.StaleGeneration, errors.SessionNotFound])
@pytest.mark.parametrize("lost", ["", "superseded"])
@pytest.mark.parametrize("payload", [{"setup": 1}, {"reported_version": 4}])
def test_what_redis_refuses_to_the_owner_is_done_after_a_reclaim(
    bench: Bench, peer: Peer, payload: Any, lost: str, refusal: type[errors.ServiceError]
) -> None:
    """Redis may have lost the register, and the device does not say it again on this connection."""
    bench.refusals, bench.lost = [refusal()], lost
    if lost:
        with pytest.raises(errors.StaleGeneration):
            bench.devices.update_setup(call(peer, payload))
    else:
        bench.devices.update_setup(call(peer, payload))
    word = "update_setup" if "setup" in payload else "reported"
    assert bench.words() == [word, "reclaim", *([] if lost else [word])]


@pytest.mark.parametrize(
    ("role", "is_device", "payload", "is_own"),
    [
        (permissions.DEVICE, True, {"session_id": "d2", "setup": 1}, True),
        (permissions.DEVICE, False, {"session_id": "d2", "patch": 1}, True),
        (permissions.OPERATOR, True, {"session_id": "d2", "setup": 1}, False),
        (permissions.OPERATOR, True, {"device_id": "d1", "setup": 1}, True),
        (permissions.OPERATOR, True, {"session_id": "d1", "patch": 1}, False),
        (permissions.OPERATOR, True, {"setup": 1}, True),
        (permissions.OPERATOR, False, {"session_id": "d1", "setup": 1}, False),
        (permissions.OPERATOR, False, {"setup": 1}, True),
        (permissions.OPERATOR, False, ["no", "object"], True),
    ],
)
def test_device_writes_no_setup_but_its_own(
    bench: Bench, role: str, is_device: bool, payload: Any, is_own: bool
) -> None:
    peer = Peer("s1", "address", Identity(role, device="d1"))
    if is_device:
        peer.device = OwnedSession("d1", "s1", 0, 7)
    assert bench.devices.is_own_setup(call(peer, payload)) is is_own


@pytest.mark.parametrize("is_dashboard", [False, True])
def test_ping_of_a_device_is_a_sign_of_life(bench: Bench, peer: Peer, is_dashboard: bool) -> None:
    peer.dashboard = object() if is_dashboard else None
    assert bench.devices.ping(call(peer, {"n": 1})) == {"server_time": 7.0}
    assert (peer.device.last_ping_ms, peer.device.ping_changed) == (7000, True)
    assert bench.told == [("emit", "s1", "pong", {"n": 1, "server_time": 7.0}, {})]


def test_ping_of_a_dashboard_is_answered_and_that_of_a_stranger_refused(bench: Bench) -> None:
    peer = Peer("s1", "address")
    with pytest.raises(errors.NotRegistered):
        bench.devices.ping(call(peer, None))
    peer.dashboard = object()
    assert bench.devices.ping(call(peer, None)) == {"server_time": 7.0}


def test_ping_that_is_nested_too_deeply_is_refused(bench: Bench, peer: Peer) -> None:
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(errors.InvalidRequest):
        bench.devices.ping(call(peer, {"n": deep}))


def test_result_of_an_unknown_command_is_refused(bench: Bench, peer: Peer) -> None:
    answer = bench.devices.command_result(call(peer, {"command_id": "c1", "ok": True}))
    assert answer == {"command_id": "c1", "status": "done"}
    bench.change = None
    with pytest.raises(errors.CommandNotFound):
        bench.devices.command_result(call(peer, {"command_id": "c1", "ok": True}))


def test_command_whose_result_is_too_long_ends(bench: Bench, peer: Peer) -> None:
    error = errors.TooLarge()
    bench.devices.cut_short(peer, '["command_result", {"ok": true, "command_id": "c1", "re', error)
    bench.devices.cut_short(peer, '["update_data", {"command_id": "c1", "data": [', error)
    bench.devices.cut_short(Peer("s2", "a"), '["command_result", {"command_id": "c1"', error)
    assert bench.told == [("lose", peer.device, "c1", error, {})]
