"""CONNECTs without python-socketio's own handler are held to that handler; so are rooms, and first packets."""

from __future__ import annotations

import re
import secrets
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import engineio.packet
import pytest
import socketio
from socketio.exceptions import ConnectionRefusedError as Refused

from service.transport.upstream import openings
from service.transport.upstream.engine_packets import opening
from service.transport.upstream.openings import Connects
from service.transport.upstream.options import StrictJson, server_options
from service.transport.upstream.room_index import RoomIndex

BODIES = [
    *("", "{}", '{"token":"a"}', '{"token": "no"}', '{"a":[1,{"b":null}]} ', '{"\\u00e4":1.5}'),
    *(
        "[1]",
        '"x"',
        "null",
        "1",
        "-1",
        "{",
        "{]",
        '{"a":NaN}',
        " {}",
        "/",
        "/,",
        "/,{}",
        "/?a=b,{}",
    ),
    *("/other,{}", "1{}", "12{}", "2-{}", "1-", "-{}", "x", "{}x", '{"token":"raises"}'),
]


class Found:
    """A server with one client, and what it did with its CONNECTs."""

    def __init__(self, *, is_ours: bool) -> None:
        options = server_options("threading", 25.0, 20.0, 1000)
        self.server = socketio.Server(
            async_mode="threading", always_connect=False, json=StrictJson, logger=options["logger"]
        )
        self.auth: list[Any] = []
        self.sent: list[str] = []
        self.rooms = RoomIndex(self.server.manager)
        self.server.on("connect", self._authenticate)
        self.server.manager_initialized = True
        self.server.environ["e1"] = {"REMOTE_ADDR": "a"}
        self.server.eio.send = lambda sid, text: self._send(sid, text)
        self.connects = Connects(self.server, self.server._handle_eio_message, self.rooms)
        if is_ours:
            self.connects.handler = self.server.handlers["/"]["connect"]

    def _authenticate(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        assert environ is self.server.environ["e1"]
        self.auth.append(auth)
        if auth == {"token": "no"}:
            raise Refused("Not this one.", {"error": {"code": "not_authenticated"}})
        if auth == {"token": "raises"}:
            raise RuntimeError("on purpose")

    def _send(self, eio_sid: str, text: str) -> None:
        assert eio_sid == "e1"
        self.sent.append(re.sub('"sid":"[^"]+"', '"sid":"…"', text))

    def connect(self, data: str) -> tuple[bool, bool]:
        """Return whether there is a sid, and whether that is connected."""
        socket: Any = SimpleNamespace(
            sid="e1", send_frame=lambda frame: self._send("e1", frame.text)
        )
        sid = self.connects.connect(socket, data)
        return sid is not None, self.server.manager.is_connected(sid, "/")

    def state(self) -> Any:
        """Return the manager's state, with sids in the order in which they came in place of themselves."""
        manager = self.server.manager
        rooms = {key: (None in some, len(some)) for key, some in self.rooms._rooms.items()}
        text = repr((manager.rooms, rooms, manager.pending_connect, manager.callbacks))
        names: dict[str, str] = {}
        return re.sub(
            r"'[\w-]{20,}'", lambda found: names.setdefault(found[0], str(len(names))), text
        )


@pytest.mark.parametrize("body", BODIES)
def test_connect_is_handled_as_the_library_does(body: str) -> None:
    """Whatever a client sends: the same answer, the same credentials and rooms; and twice."""
    ours, theirs = Found(is_ours=True), Found(is_ours=False)
    for data in ("0" + body, "0" + body, "0"):
        ends = []
        for one in (ours, theirs):
            try:
                ends.append(one.connect(data))
            except Exception as error:
                ends.append(("raised", "RuntimeError" in repr(error)))
        assert ends[0] == ends[1]
        assert ours.sent == theirs.sent
        assert ours.auth == theirs.auth
        if "raises" in body:  # the library leaves rooms behind; the socket is sent away in any case
            assert not ours.server.manager.rooms
            break
        assert ours.state() == theirs.state()


def test_handler_that_another_one_has_replaced_is_not_called() -> None:
    found = Found(is_ours=True)
    called: list[str] = []
    found.server.on("connect", lambda sid, environ, auth: called.append(sid))
    assert found.connect('0{"token":"no"}') == (True, True)
    assert len(called) == 1 and not found.auth


def test_rooms_of_new_clients_are_those_of_the_library() -> None:
    managers = [socketio.Server(async_mode="threading").manager for _ in range(2)]
    ours, theirs = map(RoomIndex, managers)
    for sid, eio_sid in (("s1", "e1"), ("s2", "e2"), ("s3", "e3")):
        assert not ours.has("/", eio_sid)
        ours.connect(sid, "/", eio_sid)
        assert ours.has("/", eio_sid)
        theirs.enter(sid, "/", None, eio_sid)
        theirs.enter(sid, "/", sid, eio_sid)
    assert managers[0].rooms == managers[1].rooms
    assert ours._rooms == theirs._rooms
    for manager in managers:
        rooms = manager.rooms["/"]
        assert rooms["s2"].inverse["e2"] == "s2" and rooms[None].inverse["e3"] == "s3"
        manager.enter_room("s2", "/", "both")
        manager.enter_room("s3", "/", "both")
        with pytest.raises(ValueError, match="sid room"):
            manager.enter_room("s2", "/", "s3")
        assert sorted(manager.get_participants("/", "both")) == [("s2", "e2"), ("s3", "e3")]
        for sid in ("s1", "s2", "s3"):
            manager.pre_disconnect(sid, "/")
            manager.disconnect(sid, "/")
        assert manager.rooms == {}
    assert not ours._rooms and not ours.has("/", "e1")


@pytest.mark.parametrize("sid", ["n1.abc-_9", 'a"\\ä'])
@pytest.mark.parametrize(("interval_s", "timeout_s"), [(25, 20), (0.5704, 1.0006)])
def test_first_packet_is_that_of_the_library(
    sid: str, interval_s: float, timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engineio.packet.Packet, "json", StrictJson)
    eio = SimpleNamespace(
        ping_interval=interval_s, ping_timeout=timeout_s, max_http_buffer_size=1000
    )
    data = {
        "sid": sid,
        "upgrades": [],
        "pingTimeout": round(timeout_s * 1000),
        "pingInterval": round(interval_s * 1000),
        "maxPayload": 1000,
    }
    packet = engineio.packet.Packet(engineio.packet.OPEN, data)
    assert opening(sid, eio).decode() == packet.encode()
    assert engineio.packet.Packet(encoded_packet=opening(sid, eio).decode()).data == data


@pytest.mark.parametrize(
    "text",
    ["", "EIO=4&transport=websocket", "EIO=4&sid=a", "a=%20;b&c&=d&EIO=4&EIO=3", "x" * 200 + "=1"],
)
def test_query_is_read_as_the_library_reads_it(text: str) -> None:
    for _ in range(2):
        assert openings.query_of({"QUERY_STRING": text}) == parse_qs(text)
    assert openings.query_of({}) == {}


def test_noise_is_as_long_and_of_the_same_signs_as_the_library_has_it() -> None:
    many = [openings.noise() for _ in range(2000)]
    assert len(set(many)) == len(many)
    assert {len(one) for one in many} == {len(secrets.token_urlsafe(16))}
    signs = set("".join(many))
    assert signs == set("".join(secrets.token_urlsafe(16) for _ in range(2000)))


USUAL = {"REQUEST_METHOD": "GET", "HTTP_UPGRADE": "WebSocket"}
QUERY = {"EIO": ["4"], "transport": ["websocket"]}


@pytest.mark.parametrize(
    ("environ", "query", "origins", "transports", "is_usual"),
    [
        ({}, {}, None, ["polling", "websocket"], True),
        ({"HTTP_ORIGIN": "http://a"}, {}, None, ["websocket"], False),
        ({"HTTP_ORIGIN": "http://a"}, {}, [], ["websocket"], True),
        ({"REQUEST_METHOD": "OPTIONS"}, {}, None, ["websocket"], False),
        ({"HTTP_UPGRADE": " websocket"}, {}, None, ["websocket"], False),
        ({}, {"transport": ["polling"]}, None, ["polling", "websocket"], False),
        ({}, {"transport": ["websocket", "polling"]}, None, ["polling", "websocket"], False),
        ({}, {}, None, ["polling"], False),
    ],
)
def test_only_a_request_for_a_websocket_without_anything_else_is_usual(
    environ: dict[str, Any],
    query: dict[str, Any],
    origins: Any,
    transports: list[str],
    is_usual: bool,
) -> None:
    eio = SimpleNamespace(cors_allowed_origins=origins, transports=transports)
    assert openings.is_usual(eio, USUAL | environ, QUERY | query) is is_usual
