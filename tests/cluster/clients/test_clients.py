"""Clients of other makers, as they come, against real nodes: every one of them is a full citizen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.support.clients.bare import Bare
from tests.support.clients.clients import Client
from tests.support.clients.js.javascript import JavaScriptClient
from tests.support.nodes.node_processes import SOME_ROADS, Cluster, road
from tests.support.nodes.shared_pair import running_pair
from tests.support.waiting import wait_until

WEBSOCKET = ("websocket",)
UPGRADED = ("polling", "websocket")
POLLING = ("polling",)

DONE = {"ok": True, "result": {"did": "it"}}


class Python(Client):
    """python-socketio's client with the few words that all kinds share."""

    def __init__(self, url: str, transports: tuple[str, ...], answer: Any = None) -> None:
        super().__init__(url, transports=transports, answers={"command": answer})

    @property
    def transport(self) -> str:
        return str(self.sio.transport())


class BareWebsocket(Bare):
    """A websocket and the protocol page."""

    transport = "websocket"

    def __init__(self, url: str, transports: tuple[str, ...], answer: Any = None) -> None:
        super().__init__(url, answer=lambda payload: None if answer is None else [answer])

    def got(self, event: str) -> list[Any]:
        return self.events(event)


def javascript(url: str, transports: tuple[str, ...], answer: Any = None) -> JavaScriptClient:
    return JavaScriptClient(url, transports=transports, answer=answer)


KINDS: dict[str, Callable[..., Any]] = {
    "socket.io-client": javascript,
    "python-socketio": Python,
    "bare": BareWebsocket,
}


@pytest.fixture(scope="module", params=SOME_ROADS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two nodes for all tests of this module, once for each road."""
    with running_pair(tmp_path_factory.mktemp(request.param), **road(request.param)) as made:
        yield made


@pytest.fixture
def open_clients() -> Iterator[Callable[..., Any]]:
    """Makes clients that are closed at the end, whatever happens."""
    with ExitStack() as stack:
        yield lambda kind, *args, **options: stack.enter_context(
            closing(KINDS[kind](*args, **options))
        )


@pytest.mark.parametrize(
    ("kind", "transports"),
    [
        ("socket.io-client", WEBSOCKET),
        ("socket.io-client", UPGRADED),
        ("socket.io-client", POLLING),
        ("python-socketio", WEBSOCKET),
        ("python-socketio", UPGRADED),
        ("python-socketio", POLLING),
        ("bare", WEBSOCKET),
    ],
)
def test_device_and_dashboard_of_each_kind_do_everything(
    pair: Cluster, open_clients: Callable[..., Any], kind: str, transports: tuple[str, ...]
) -> None:
    """Register on A, watch on B, command from B: with this client and over this transport."""
    here, there = pair.urls
    session_id = f"{kind}-{'-'.join(transports)}"
    device = open_clients(kind, here, transports, DONE)
    dashboard = open_clients(kind, there, transports)
    if transports == UPGRADED:
        wait_until(lambda: device.transport == "websocket", what="upgrade to websocket")

    answer = device.call("register", {"device_id": session_id, "session_name": "One"})
    assert answer["ok"], answer
    wait_until(lambda: device.got("registered"), what="registered")
    snapshot = dashboard.call("register_vue", {"scope": {"sessions": [session_id]}})
    assert [one["session_id"] for one in snapshot["active"]] == [session_id]

    acks = [
        device.call("update_data", {"key": "n", "value": n, "seq": n + 1, "ts": 1.5})
        for n in range(5)
    ]
    assert [ack["rev"] - acks[0]["rev"] for ack in acks] == [0, 1, 2, 3, 4]
    wait_until(lambda: len(dashboard.got("session_data_key_update")) >= 5, what="samples")
    seen = [update["value"] for update in dashboard.got("session_data_key_update")]
    if isinstance(dashboard, Python):  # python-engineio handles each message in a thread of its own
        seen.sort()
    assert seen == [0, 1, 2, 3, 4]

    sent = {"device_id": session_id, "command": "go", "params": {"é": [1, None]}, "wait": "result"}
    answer = dashboard.call("send_command", sent)
    assert (answer["status"], answer["result"]) == ("succeeded", {"did": "it"})
    wait_until(lambda: device.got("command"), what="the command, as its client wrote it down")
    assert device.got("command")[0]["params"] == {"é": [1, None]}
    wait_until(
        lambda: [news["status"] for news in dashboard.got("command_update")][-1:] == ["succeeded"]
    )

    edited = dashboard.call("update_setup", {"session_id": session_id, "setup": {"a": 1}})
    assert edited["setup_version"] == 1
    wait_until(lambda: device.got("setup") == [{"setup": {"a": 1}, "setup_version": 1}])
    assert device.call("update_setup", {"reported_version": 1})["ok"]

    device.call("ping", {"n": 7})
    wait_until(lambda: device.got("pong"), what="pong")
    assert device.got("pong")[0]["n"] == 7
    refused = device.call("update_data", {"key": "n"})
    assert refused["error"]["code"] == "invalid_request"
    device.emit("update_data", {"key": 1, "value": 1})
    wait_until(lambda: device.got("service_error"), what="service_error")

    details = dashboard.call("get_active_session", {"device_id": session_id})["session"]
    assert details["data"] == {"n": [[n, 1.5] for n in range(5)]}
    assert details["in_sync"]

    device.close()
    wait_until(
        lambda: any(
            not one["is_connected"]
            for news in dashboard.got("sessions_update")
            for one in news["changed"]
        ),
        what="the dashboard sees it go",
    )


@pytest.mark.parametrize("transports", [WEBSOCKET, POLLING])
def test_binary_from_socketio_client_is_refused_and_harms_nothing(
    pair: Cluster, open_clients: Callable[..., Any], transports: tuple[str, ...]
) -> None:
    """Binary where JSON is expected is `invalid_request`; the next event is served."""
    client = open_clients("socket.io-client", pair.urls[0], transports)
    assert client.ask("binary", "update_data")["error"]["code"] == "invalid_request"
    assert client.call("get_active_sessions", {"limit": 1})["ok"]


def test_takeover_between_kinds_tells_the_former_owner(
    pair: Cluster, open_clients: Callable[..., Any]
) -> None:
    """JavaScript on A, Python on B, bare on A: each takes over, the one before is told so."""
    here, there = pair.urls
    first = open_clients("socket.io-client", here, UPGRADED)
    first.call("register", {"device_id": "shared"})
    second = open_clients("python-socketio", there, WEBSOCKET)
    second.call("register", {"device_id": "shared"})
    wait_until(lambda: first.got("superseded"), what="the first is told")
    third = open_clients("bare", here, WEBSOCKET)
    third.call("register", {"device_id": "shared"})
    wait_until(lambda: second.got("superseded"), what="the second is told")
    assert third.call("update_data", {"key": "n", "value": 1})["ok"]
    assert third.got("superseded") == []
