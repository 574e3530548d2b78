"""Hosts and origins: one reading or none."""

from __future__ import annotations

import pytest

from service.protocol.authority import Authority, Origin, parse_authority, parse_host, parse_origin
from tests.support.clients.hosts import NO_AUTHORITIES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("localhost", Authority("localhost")),
        ("LocalHost:5000", Authority("localhost", 5000)),
        ("127.0.0.1:80", Authority("127.0.0.1", 80)),
        ("a.example:", Authority("a.example")),
        ("my_node.internal", Authority("my_node.internal")),
        ("[::1]", Authority("::1")),
        ("[0:0::1]:5000", Authority("::1", 5000)),
        ("[::ffff:127.0.0.1]", Authority("::ffff:7f00:1")),
    ],
)
def test_authority_is_a_host_and_perhaps_a_port(text: str, found: Authority) -> None:
    assert parse_authority(text) == found


@pytest.mark.parametrize("text", NO_AUTHORITIES)
def test_what_could_be_read_as_another_host_is_no_authority(text: str) -> None:
    assert parse_authority(text) is None


def test_host_that_people_write_may_lack_its_brackets() -> None:
    assert parse_host("::1") == parse_host("[::1]") == Authority("::1")
    assert parse_host("10.0.0.7") == Authority("10.0.0.7")
    assert parse_host("a.example:443") == Authority("a.example", 443)
    assert parse_host("https://a.example") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://Localhost:5000", Origin("http", "localhost", 5000)),
        ("http://localhost", Origin("http", "localhost", 80)),
        ("https://localhost/", Origin("https", "localhost", 443)),
        ("ws://localhost:5000", Origin("http", "localhost", 5000)),
        ("wss://localhost", Origin("https", "localhost", 443)),
        ("http://[::1]:5000", Origin("http", "::1", 5000)),
        ("file://", Origin("file")),
        ("capacitor://localhost", Origin("capacitor", "localhost")),
        ("null", None),
        ("", None),
        ("localhost", None),
        ("http://", None),
        ("http://evil@localhost", None),
        ("http://localhost/path", None),
        ("http://localhost http://evil.example", None),
        ("http://localhost,http://evil.example", None),
        ("1http://localhost", None),
    ],
)
def test_origin_is_scheme_host_and_port(text: str, found: Origin | None) -> None:
    assert parse_origin(text) == found
