"""Heads of requests: what is read in one way only is taken, everything else refused."""

from __future__ import annotations

import pytest

from service.transport.http.heads import Framing, Refused, chunk_size, framing, is_field
from tests.support.clients.hosts import NO_AUTHORITIES

GET = b"GET / HTTP/1.1"
HOST = b"Host: a"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([GET, HOST], Framing(0, False)),
        ([b"POST /%2F?a=b HTTP/1.0", b"content-length:7"], Framing(7, False)),
        ([GET, HOST, b"Content-Length: \t 0 \t"], Framing(0, False)),
        ([b"GET http://name:80/a?b HTTP/1.1", HOST], Framing(0, False)),
        ([b"GET HTTPS://[::1]?b HTTP/1.1", HOST], Framing(0, False)),
        ([b"OPTIONS * HTTP/1.1", HOST], Framing(0, False)),
        ([GET, HOST, b"TRANSFER-encoding: Chunked"], Framing(0, True)),
        ([GET, HOST, b"X: \xe4\xf6 a\tb", b"Empty:", b"Content_Length: 9"], Framing(0, False)),
    ],
)
def test_head_says_where_its_body_ends(lines: list[bytes], found: Framing) -> None:
    assert framing(lines) == found


@pytest.mark.parametrize(
    "line",
    [
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / http/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"G(T / HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01\x02\x00",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET name HTTP/1.1",
        b"CONNECT name:80 HTTP/1.1",
        b"GET ftp://name/ HTTP/1.1",
        b"GET http:///path HTTP/1.1",
        b"GET http://127.0.0.1#evil/ HTTP/1.1",
        b"GET http://evil@127.0.0.1/ HTTP/1.1",
        b"GET http://[::1]evil/ HTTP/1.1",
    ],
)
def test_request_line_that_is_none_is_refused(line: bytes) -> None:
    with pytest.raises(Refused):
        framing([line, HOST])


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Length: 1", b"Content-Length: 2"],
        [b"Content-Length: 1", b"content-length: 1"],
        [b"Content-Length: 1, 1"],
        [b"Content-Length: +2"],
        [b"Content-Length: -2"],
        [b"Content-Length: 0_2"],
        [b"Content-Length: 0x2"],
        [b"Content-Length: 2.0"],
        [b"Content-Length: \xb2"],
        [b"Content-Length:"],
        [b"Content-Length: 1 1"],
        [b"Content-Length: 9999999999999999"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: identity, chunked"],
        [b"Transfer-Encoding: gzip"],
        [b"Transfer-Encoding:"],
        [b"Transfer-Encoding: \x0bchunked"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 2"],
        [b"Content-Length: 2", b"Transfer-Encoding: chunked"],
        [b"Host: b"],
        [b"Content-Length : 2"],
        [b" folded"],
        [b"\tfolded"],
        [b"no colon"],
        [b": no name"],
        [b"X: a\rContent-Length: 2"],
        [b"X: a\x00"],
        [b"X: \x0b"],
    ],
)
def test_headers_that_can_be_read_in_two_ways_are_refused(headers: list[bytes]) -> None:
    with pytest.raises(Refused) as refused:
        framing([b"POST / HTTP/1.1", HOST, *headers])
    assert refused.value.status == "400 Bad Request"


@pytest.mark.parametrize("host", [*NO_AUTHORITIES[1:], "\xe4"])
def test_host_that_can_be_read_in_two_ways_is_refused(host: str) -> None:
    with pytest.raises(Refused):
        framing([GET, f"Host: {host}".encode()])


def test_host_is_needed_in_http_1_1_and_may_be_empty() -> None:
    framing([b"GET / HTTP/1.0"])
    framing([GET, b"Host:"])
    with pytest.raises(Refused):
        framing([GET])


def test_chunks_are_of_http_1_1_only() -> None:
    with pytest.raises(Refused):
        framing([b"POST / HTTP/1.0", b"Transfer-Encoding: chunked"])


@pytest.mark.parametrize(
    ("line", "size"), [(b"0", 0), (b"00fF", 255), (b"5;name=value", 5), (b"5 ;x", 5)]
)
def test_chunk_size_is_hexadecimal(line: bytes, size: int) -> None:
    assert chunk_size(line) == size


@pytest.mark.parametrize(
    "line",
    [b"", b"0x5", b"+5", b"-5", b"0_5", b" 5", b"5\r", b"g", b";x", b"5;\x00", b"f" * 16, b"\xb2"],
)
def test_chunk_size_of_any_other_kind_is_refused(line: bytes) -> None:
    with pytest.raises(Refused):
        chunk_size(line)


def test_all_header_lines_at_once_are_taken_as_one_by_one() -> None:
    """Whatever byte stands in a line: at its ends, in its name and in its value; alone and among others."""
    for byte in map(bytes, zip(range(256), strict=False)):
        for line in (
            byte,
            byte + b"X: a",
            b"X" + byte + b": a",
            b"X: a" + byte,
            b"X: a" + byte + b"b",
        ):
            for lines in ([line], [line, b"Y: b"], [b"Y: b", line], [line, line]):
                try:
                    framing([b"GET / HTTP/1.0", *lines])
                    is_taken = True
                except Refused:
                    is_taken = False
                assert is_taken is is_field(line), lines
