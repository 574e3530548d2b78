"""Polls whose connections break, and posts that come in pieces or not to their end: all transports and hubs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.clients.http_wire import HttpWire
from tests.support.clients.raw_clients import RawPolling, RawWebsocket
from tests.support.nodes.socket_nodes import Node
from tests.support.waiting import Stopwatch, wait_until

pytestmark = pytest.mark.processes

Wire = Callable[..., HttpWire]
Poll = Callable[[], RawPolling]
#: How a connection may end while nobody looks.
ENDS = {"closed": HttpWire.close, "reset": HttpWire.reset}


@pytest.fixture(
    scope="module",
    params=[(mode, road) for mode in ("eventlet", "gevent") for road in ("fast", "ordinary")],
    ids=lambda param: "-".join(param),
)
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """It pings nobody meanwhile: what waits is answered for another reason."""
    node = Node(*request.param, tmp_path_factory.mktemp("node"), ping_interval_s=300)
    yield node
    log = node.log.read_text()
    node.end()
    assert "Traceback" not in log, log[-4000:]
    assert "ERROR" not in log, log[-4000:]


@pytest.fixture
def wire(node: Node) -> Iterator[Wire]:
    made: list[HttpWire] = []

    def make(**options: Any) -> HttpWire:
        made.append(HttpWire(node.port, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def poll(node: Node) -> Iterator[Poll]:
    """Makes polling clients that say goodbye, where the test has not ended them."""
    made: list[RawPolling] = []

    def make() -> RawPolling:
        made.append(RawPolling(node.port))
        return made[-1]

    yield make
    for one in made:
        one.request("POST", b"1")


@pytest.fixture
def other(node: Node) -> Iterator[RawWebsocket]:
    """Somebody who lets the node send to others."""
    other = RawWebsocket(node.port)
    yield other
    other.close()


def path(polling: RawPolling) -> str:
    return f"/socket.io/?EIO=4&transport=polling&sid={polling.engine_sid}"


def wait_at(node: Node, polling: RawPolling, wire: HttpWire, headers: str = "") -> None:
    """Let a poll wait at the node over this connection."""
    wire.ask("GET", path(polling), headers=headers)
    wait_until(lambda: node.figures()["polls"] > 0, what="the poll waits")


def send(other: RawWebsocket, polling: RawPolling, *values: object) -> None:
    for value in values:
        assert other.call("send_to", {"sid": polling.sid, "value": value})["ok"]


def sent(*values: object) -> list[str]:
    return [f'42["sent",{value}]' for value in values]


def packets(wire: HttpWire) -> list[str]:
    """What the poll that waits over this connection brings."""
    return wire.answer().body.decode().split("\x1e")


# --- a poll that waits


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_poll_whose_client_has_gone_takes_nothing(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, end: Callable[[HttpWire], None]
) -> None:
    """As a browser's or a proxy's silent repeat of a request, which the client itself never sees."""
    polling, first = poll(), wire()
    wait_at(node, polling, first)
    end(first)
    send(other, polling, 1, 2, 3)
    assert polling.get() == sent(1, 2, 3)
    assert polling.call("echo", 1)["ok"]


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_poll_may_be_repeated_at_once_after_its_connection_broke(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, end: Callable[[HttpWire], None]
) -> None:
    polling, first, second = poll(), wire(), wire()
    wait_at(node, polling, first)
    end(first)
    second.ask("GET", path(polling))
    send(other, polling, 1)
    assert packets(second) == sent(1)


def test_poll_with_the_next_request_behind_it_is_let_go_too(
    node: Node, poll: Poll, wire: Wire
) -> None:
    """What came behind it hides the end of the connection from those that only read."""
    polling, first = poll(), wire()
    before = node.leftovers()["descriptors"]
    wait_at(node, polling, first)
    first.ask("GET", "/figures")
    first.close()
    wait_until(lambda: node.leftovers()["descriptors"] < before, 3, what="its descriptor is back")
    assert polling.call("echo", 1)["ok"]


def test_descriptors_of_polls_whose_clients_hung_up_come_back(
    node: Node, poll: Poll, wire: Wire
) -> None:
    sessions = [poll() for _ in range(20)]
    before = node.leftovers()["descriptors"]
    wires = [wire() for _ in sessions]
    for polling, one in zip(sessions, wires, strict=True):
        one.ask("GET", path(polling))
    wait_until(lambda: node.figures()["polls"] == 20, what="all wait")
    for one in wires:
        one.close()
    wait_until(lambda: node.leftovers()["descriptors"] <= before, 2, what="all are back")


def test_two_polls_at_once_end_the_session(node: Node, poll: Poll, wire: Wire) -> None:
    """As the reference's suite has it: neither could know what the other was given."""
    polling, first, second = poll(), wire(), wire()
    wait_at(node, polling, first)
    second.ask("GET", path(polling))
    assert second.answer().status == 400
    assert first.answer().body == b"1"
    assert polling.request("GET")[0] == 400
    assert node.wait_for_end(polling.sid) == "transport error"


# --- an answer that does not arrive


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"], ids=["kept", "to be closed"])
def test_session_ends_when_an_answer_was_lost(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, headers: str
) -> None:
    """Of an answer that does not fit into the client's buffer the rest is still here when it resets."""
    polling, first = poll(), wire(receive_buffer=4096)
    wait_at(node, polling, first, headers)
    assert other.call("send_to", {"sid": polling.sid, "value": "x" * 300_000})["ok"]
    assert first.sock.recv(1)
    first.reset()
    assert polling.request("GET")[0] == 400
    assert node.wait_for_end(polling.sid) == "transport error"


def test_answer_that_is_not_taken_is_not_passed_over_by_the_next_poll(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket
) -> None:
    """The connection is open and nobody reads: as after a change of networks."""
    polling, first = poll(), wire(receive_buffer=4096)
    wait_at(node, polling, first)
    assert other.call("send_to", {"sid": polling.sid, "value": "x" * 300_000})["ok"]
    assert first.sock.recv(1)
    watch = Stopwatch()
    assert polling.request("GET")[0] == 400
    assert watch.quiet_s < 4
    first.reset()


def test_reset_means_nothing_where_all_connections_end_with_one(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket
) -> None:
    """HAProxy ends its connections to servers with a reset when all is well."""
    polling, proxy = poll(), "127.0.0.2"
    watched = wire(source=proxy)
    watched.ask("GET", "/figures")
    assert watched.answer().status == 200
    watched.reset()
    for number in range(3):
        one = wire(source=proxy)
        wait_at(node, polling, one)
        send(other, polling, number)
        assert packets(one) == sent(number)
        one.reset()
    assert polling.call("echo", 1)["ok"]


@pytest.mark.parametrize("over_one", [True, False], ids=["one connection", "one each"])
def test_polls_bring_everything_in_order(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, over_one: bool
) -> None:
    polling, kept = poll(), wire()
    polling.post('421["count",400]')
    seen: list[str] = []
    while not seen or not seen[-1].startswith("431"):
        one = kept if over_one else wire()
        one.ask("GET", path(polling), headers="" if over_one else "Connection: close\r\n")
        seen += one.answer().body.decode().split("\x1e")
    assert [text for text in seen if text != "2"][:-1] == [f'42["n",{n}]' for n in range(400)]


# --- posts


def notes(node: Node) -> list[object]:
    return [one[1] for one in node.figures()["seen"] if one[0] == "note"]


def events(name: str, *numbers: int) -> bytes:
    return "\x1e".join(f'42["note",["{name}",{number}]]' for number in numbers).encode()


CHUNKED = "Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_post_in_chunks_is_taken(node: Node, poll: Poll, wire: Wire, size: int) -> None:
    """As proxies send it on that do not wait for its end."""
    polling, one, body = poll(), wire(), events(f"chunk {size}", 1, 2, 3)
    one.send(f"POST {path(polling)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CHUNKED}\r\n")
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        one.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    one.send("0\r\n\r\n")
    assert (one.answer().status, notes(node)[-3:]) == (
        200,
        [[f"chunk {size}", number] for number in (1, 2, 3)],
    )
    one.ask("GET", "/figures")
    assert one.answer().status == 200, "the connection goes on"


def test_post_in_chunks_over_the_bound_is_too_large_and_the_client_stays(
    node: Node, poll: Poll, wire: Wire
) -> None:
    polling, one = poll(), wire()
    one.send(f"POST {path(polling)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CHUNKED}\r\n")
    for _ in range(20):
        one.send(b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16)))
    one.send("0\r\n\r\n")
    assert one.answer().status == 200
    assert '"code":"too_large"' in polling.receive()
    assert polling.call("echo", 1)["ok"]


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_post_that_is_cut_short_has_no_effect_and_may_be_repeated(
    node: Node, poll: Poll, wire: Wire, framing: str, end: Callable[[HttpWire], None]
) -> None:
    name = f"{framing} {end.__name__}"
    polling, one, whole = poll(), wire(), events(name, 1, 2, 3, 4, 5)
    part = events(name, 1, 2) + b"\x1e"
    head = f"POST {path(polling)} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if framing == "length":
        one.send(f"{head}Content-Length: {len(whole)}\r\n\r\n".encode() + part)
    else:
        one.send(f"{head}{CHUNKED}\r\n".encode() + b"%x\r\n%b\r\n" % (len(part), part))
    wait_until(lambda: node.figures()["posts"] == 1, what="the beginning has come")
    end(one)
    wait_until(lambda: node.figures()["posts"] == 0, what="the end has come")
    polling.post(whole.decode())
    assert [one for one in notes(node) if one[0] == name] == [  # type: ignore[index]
        [name, number] for number in range(1, 6)
    ]


def test_post_with_chunks_that_are_none_is_refused_whole(
    node: Node, poll: Poll, wire: Wire
) -> None:
    polling, one, part = poll(), wire(), events("broken", 1)
    head = f"POST {path(polling)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CHUNKED}\r\n"
    one.send(head.encode() + b"%x\r\n%b\r\nxyz\r\n" % (len(part), part))
    assert one.answer().status == 400
    assert one.is_at_end()
    assert ["broken", 1] not in notes(node)
    assert polling.call("echo", 1)["ok"]


def test_post_of_too_many_packets_is_refused_whole(node: Node, poll: Poll) -> None:
    polling = poll()
    status, _ = polling.request("POST", b"\x1e".join([b'42["note",["many",0]]'] * 10_001))
    assert status == 200
    assert '"code":"invalid_request"' in polling.receive()
    assert ["many", 0] not in notes(node)


# --- the end of a session answers the poll that waits


@pytest.mark.parametrize("way", ["close", "disconnect", "server", "last words"])
def test_end_of_a_session_answers_its_waiting_poll(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, way: str
) -> None:
    """With a NOOP where there are no last words: an empty answer is no payload."""
    polling, one = poll(), wire()
    wait_at(node, polling, one)
    if way == "close":
        polling.post("1")
    elif way == "disconnect":
        polling.post("41", "1")
    elif way == "server":
        other.call("disconnect_sid", polling.sid)
    else:
        other.call("close", {"sid": polling.sid, "reason": "draining"})
    last = {"server": ["41", "1"], "last words": ['42["last",{"bye":1}]']}
    assert packets(one) == last.get(way, ["6"])
    assert polling.request("GET")[0] == 400, "it is not to ask again and again"


def test_poll_that_waits_at_an_upgrade_ends_and_takes_nothing_along(
    node: Node, poll: Poll, wire: Wire
) -> None:
    polling, one = poll(), wire()
    wait_at(node, polling, one)
    ws = RawWebsocket(node.port, connect=False, query=f"&sid={polling.engine_sid}")
    ws.send("5")
    ws.send('421["count",50]')
    seen: list[str] = []
    while not seen or not seen[-1].startswith("431"):
        seen.append(ws.receive())
    assert seen[:-1] == [f'42["n",{number}]' for number in range(50)]
    assert packets(one) in (["6"], ['"Unexpected HTTP request"'])
    ws.close()


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_client_whose_polls_break_misses_nothing_unless_it_is_told(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, end: Callable[[HttpWire], None]
) -> None:
    """It gives up every other poll unread, whatever has come of it, and asks again."""
    for _ in range(10):
        polling, seen, status = poll(), list[str](), 200
        sender = threading.Thread(target=send, args=[other, polling, *range(10)])
        sender.start()
        while len(seen) < 10 and status == 200:
            given_up = wire()
            given_up.ask("GET", path(polling))
            end(given_up)
            status, body = polling.request("GET")
            if status == 200:
                seen += [text for text in body.decode().split("\x1e") if text not in "26"]
        sender.join()
        assert seen == sent(*range(len(seen)))


@pytest.mark.parametrize("headers", ["", "Connection: close\r\n"], ids=["kept", "to be closed"])
def test_session_ends_when_an_answer_has_arrived_and_was_not_read(
    node: Node, poll: Poll, wire: Wire, other: RawWebsocket, headers: str
) -> None:
    polling, first = poll(), wire()
    wait_at(node, polling, first, headers)
    send(other, polling, 1)
    first.wait_for_input()
    first.close()
    assert polling.request("GET")[0] == 400
    assert node.wait_for_end(polling.sid) == "transport error"


def test_nothing_is_left_behind(node: Node) -> None:
    """Last: of all the above."""
    node.wait_for_silence(25)
