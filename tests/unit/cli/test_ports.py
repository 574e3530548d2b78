"""Why a process cannot listen: a port that is taken is told from one that it may not have."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from service.cli.local.embedded import refused_port
from service.errors import ConfigError, why_no_port
from service.node.http_server import bind


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRINUSE, "port 80 is taken by another program"),
        (errno.EACCES, "may not listen on port 80"),
        (errno.EPERM, "may not listen on port 80"),
        (errno.EADDRNOTAVAIL, "does not have the address 10.1.2.3"),
        (errno.EMFILE, os.strerror(errno.EMFILE)),
    ],
)
def test_each_reason_has_words_of_its_own(number: int, words: str) -> None:
    assert words in why_no_port(OSError(number, os.strerror(number)), "10.1.2.3", 80)


def test_a_node_says_that_its_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is taken by another program"):
            bind("127.0.0.1", port)
        refused = refused_port(port)
        assert refused is not None
        assert refused.errno == errno.EADDRINUSE


def test_a_node_says_that_the_address_is_not_this_machines() -> None:
    with pytest.raises(ConfigError, match=r"does not have the address 192\.0\.2\.1"):
        bind("192.0.2.1", 5000)
