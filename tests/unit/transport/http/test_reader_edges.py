"""The way in of an HTTP connection at its edges: what is too much by one, and what keeps a body's time running."""

from __future__ import annotations

import pytest

from service.transport.http import heads, reader
from service.transport.http.heads import Refused
from service.transport.http.reader import Reader, TooMuch
from service.transport.unauthenticated import BYTES_EACH, UnauthenticatedClients
from tests.unit.transport.http.test_reader import CHUNKED, POST, Line

PUT = POST + b"Content-Length: 5000\r\n\r\n"


def begun(line: Line) -> Reader:
    got = line.reader()
    assert got.begin()
    got.take_head()
    return got


def lines_of(count: int, size: int = 5) -> bytes:
    """A head of so many lines, each of so many bytes without its end."""
    first = [b"POST / HTTP/1.1", b"Host: a"]
    return b"\r\n".join([*first, *[b"X: ".ljust(size, b"1")] * (count - len(first))]) + b"\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        lines_of(heads.MAX_LINES),
        lines_of(3, heads.MAX_LINE_BYTES - 1),
        lines_of(4, heads.MAX_HEAD_BYTES // 2 - 60),
    ],
    ids=["lines", "bytes of a line", "bytes of a head"],
)
def test_head_may_have_as_much_as_is_said(head: bytes) -> None:
    assert Line(head).reader().begin()


@pytest.mark.parametrize(
    "head",
    [
        lines_of(heads.MAX_LINES + 1),
        lines_of(3, heads.MAX_LINE_BYTES + 1),
        lines_of(5, heads.MAX_HEAD_BYTES // 3),
    ],
    ids=["lines", "bytes of a line", "bytes of a head"],
)
def test_head_of_more_is_refused(head: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Line(head).reader().begin()
    assert refused.value.status.startswith("431")


def test_body_of_who_has_logged_in_may_take_long_while_it_flows() -> None:
    line = Line(PUT)
    got = begun(line)
    got.is_patient = True
    line.pieces.extend([b"x" * 10] * 500)
    line.every_s = 1.0
    assert len(got.read(5000)) == 5000
    assert line.now - 100.0 > 2 * reader.BODY_S


def test_next_body_has_its_own_deadline() -> None:
    """Who logged in for one request of a connection may be a stranger in the next one."""
    line = Line(PUT)
    got = begun(line)
    got.is_patient = True
    line.pieces.append(b"x" * 5000 + PUT)
    got.read(5000)
    assert got.begin()
    got.take_head()
    line.pieces.extend([b"x"] * 5000)
    line.every_s = 1.0
    with pytest.raises(TimeoutError):
        got.read(5000)


def test_bytes_of_a_stranger_are_owed() -> None:
    ticket = UnauthenticatedClients(per_address=1).enter("a")
    line = Line(POST + b"Content-Length: 1000000\r\n\r\n", *[b"x" * 1000] * 1000)
    got = line.reader(ticket)
    assert got.begin()
    got.take_head()
    with pytest.raises(TooMuch):
        got.read(1_000_000)
    assert got.received == pytest.approx(BYTES_EACH, abs=2000)


def test_empty_lines_before_a_request_give_no_more_time() -> None:
    line = Line(*[b"\r\n"] * 5000, every_s=1.0)
    with pytest.raises(Refused) as refused:
        line.reader().begin()
    assert refused.value.why == "slow"
    assert line.now - 100.0 == pytest.approx(reader.HEAD_S)


def test_chunk_ends_where_its_size_says() -> None:
    with pytest.raises(Refused):
        begun(Line(CHUNKED + b"1\r\naXX0\r\n\r\n")).read_chunked(100)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        lines_of(heads.MAX_LINES),
        lines_of(heads.MAX_LINES + 1),
        lines_of(3, heads.MAX_LINE_BYTES - 1),
        lines_of(3, heads.MAX_LINE_BYTES),
    ],
)
def test_head_that_is_here_as_a_whole_is_read_as_one_that_comes_in_bytes(sent: bytes) -> None:
    found = []
    for pieces in ([sent], [bytes([byte]) for byte in sent]):
        one = Line(*pieces)
        got = one.reader()
        try:
            begun = got.begin()
            found.append((begun, got.framing, got.take_head(), got.peek() if begun else b""))
        except Refused as refused:
            found.append((refused.status, refused.why, str(refused)))
    whole, bytewise = found
    assert whole[:3] == bytewise[:3]
