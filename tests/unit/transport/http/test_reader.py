"""The way in of an HTTP connection over a socket and a clock that the test moves."""

from __future__ import annotations

from collections import deque

import pytest

from service.transport.http import heads, reader
from service.transport.http.heads import Refused
from service.transport.http.reader import Reader, TooMuch
from service.transport.unauthenticated import Ticket, UnauthenticatedClients

POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Line:
    """A socket to which each piece comes a while after the one before."""

    def __init__(self, *pieces: bytes, every_s: float = 0.0) -> None:
        self.pieces = deque(pieces)
        self.every_s = every_s
        self.now = 100.0
        self.timeout = 0.0
        self.turns = 0
        self.turn_s = 0.0

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds

    def recv(self, size: int) -> bytes:
        if self.every_s > self.timeout:
            self.now += self.timeout
            raise TimeoutError
        self.now += self.every_s
        if not self.pieces:
            return b""
        piece = self.pieces.popleft()
        if len(piece) > size:
            self.pieces.appendleft(piece[size:])
        return piece[:size]

    def enter(self) -> None:
        self.turns += 1
        self.now += self.turn_s

    def reader(self, ticket: Ticket | None = None) -> Reader:
        ticket = ticket or UnauthenticatedClients().enter("a")
        assert ticket is not None
        return Reader(self, ticket, self.enter, lambda: self.now)


def test_head_is_read_again_line_by_line_and_the_body_behind_it() -> None:
    line = Line(POST + b"Content-Length: 5\r\n\r\nhel", b"lo" + POST + b"\r\n")
    got = line.reader()
    assert got.begin()
    assert [got.readline() for _ in range(4)] == [
        *(b"POST / HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 5\r\n", b"\r\n")
    ]
    assert got.read(5) == b"hello"
    assert got.begin()
    assert got.readline() == b"POST / HTTP/1.1\r\n"


def test_end_between_requests_and_within_a_head_is_an_end() -> None:
    assert not Line().reader().begin()
    assert not Line(b"GET / HT").reader().begin()


def test_head_that_comes_byte_by_byte_has_one_deadline() -> None:
    line = Line(*[b"x"] * 5000, every_s=1.0)
    with pytest.raises(Refused) as refused:
        line.reader().begin()
    assert refused.value.why == "slow"
    assert line.now - 100.0 == pytest.approx(reader.HEAD_S)


def test_wait_for_a_turn_of_ours_is_not_the_senders_time() -> None:
    line = Line(*[bytes([byte]) for byte in POST + b"\r\n"], every_s=0.1)
    line.turn_s = 5.0
    assert line.reader().begin()


def test_next_head_has_its_deadline_from_its_first_byte_on() -> None:
    head = POST + b"\r\n"
    line = Line(head, b"P", *[b"O"] * 100)
    got = line.reader()
    assert got.begin()
    while got.readline() != b"\r\n":
        pass
    line.every_s = 9.0
    with pytest.raises(Refused):
        got.begin()
    assert line.now - 100.0 == pytest.approx(9.0 + reader.HEAD_S)


def test_body_has_one_deadline() -> None:
    line = Line(POST + b"Content-Length: 5000\r\n\r\n")
    got = line.reader()
    assert got.begin()
    while got.readline() != b"\r\n":
        pass
    line.pieces.extend([b"x"] * 5000)
    line.every_s = 1.0
    with pytest.raises(TimeoutError):
        got.read(5000)
    assert line.now - 100.0 == pytest.approx(reader.BODY_S)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 9000, "414"),
        (POST + b"X: " + b"a" * 9000, "431"),
        (POST + (b"X: " + b"a" * 4000 + b"\r\n") * 5, "431"),
        (POST + b"X: 1\r\n" * 200, "431"),
        (POST + b"X: 1\n\r\n", "400"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "400"),
    ],
)
def test_head_beyond_its_bounds_is_refused_before_its_end(sent: bytes, status: str) -> None:
    line = Line(sent, *[b"a" * 1000] * 1000)
    with pytest.raises(Refused) as refused:
        line.reader().begin()
    assert refused.value.status.startswith(status)
    assert len(line.pieces) > 970, "and not much more of it is read"


def test_chunks_are_put_together_and_trailers_passed_over() -> None:
    body = b"3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\nTrailer: 1\r\n\r\n"
    line = Line(*[bytes([byte]) for byte in CHUNKED + body + POST + b"\r\n"])
    got = line.reader()
    assert got.begin()
    while got.readline() != b"\r\n":
        pass
    assert got.read_chunked(4) == b"abcd"
    assert got.read_chunked(100) == b"efgh"
    assert got.read_chunked(100) == b""
    assert got.begin(), "the next request begins behind the trailers"


@pytest.mark.parametrize(
    "body",
    [
        b"0x1\r\na\r\n0\r\n\r\n",
        b"+1\r\na\r\n0\r\n\r\n",
        b"1\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n0\r\n\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"1;" + b"x" * 400 + b"\r\na\r\n0\r\n\r\n",
        b"1\r\na",
        b"",
    ],
)
def test_chunks_that_are_none_are_refused_and_nothing_more_is_read(body: bytes) -> None:
    got = Line(CHUNKED + body).reader()
    assert got.begin()
    while got.readline() != b"\r\n":
        pass
    for _ in range(2):
        with pytest.raises(Refused):
            got.read_chunked(1000)
    got.discard(None)
    assert not got.begin()


def test_chunk_size_without_an_end_is_not_kept() -> None:
    line = Line(CHUNKED, *[b"0" * 1000] * 1000)
    got = line.reader()
    assert got.begin()
    while got.readline() != b"\r\n":
        pass
    with pytest.raises(Refused):
        got.read_chunked(1000)
    assert len(line.pieces) > 995
    assert heads.MAX_CHUNK_LINE_BYTES < 1000


@pytest.mark.parametrize("head", [CHUNKED, POST + b"Content-Length: 1000000\r\n\r\n"])
def test_body_that_nobody_wants_ends_the_connection_if_it_is_long(head: bytes) -> None:
    line = Line(head, *[b"1\r\nx\r\n" * 100] * 10_000)
    got = line.reader()
    assert got.begin()
    while got.readline() != b"\r\n":
        pass
    got.discard(None if head is CHUNKED else 1_000_000)
    assert not got.begin()
    assert len(line.pieces) > 9_000


def test_others_have_their_turn_after_every_piece_and_before_every_request() -> None:
    request = POST + b"\r\n"
    line = Line(request * 100)
    got = line.reader()
    for _ in range(100):
        assert got.begin()
        while got.readline() != b"\r\n":
            pass
    assert line.turns >= 100


def test_sender_that_owes_too_much_is_refused() -> None:
    clients = UnauthenticatedClients(per_address=1)
    ticket = clients.enter("a")
    got = Line(*[POST + b"\r\n"] * 100).reader(ticket)
    with pytest.raises(TooMuch):
        for _ in range(100):
            assert got.begin()
            while got.readline() != b"\r\n":
                pass
