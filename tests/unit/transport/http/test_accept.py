"""Connections that our listener accepts are those of eventlet; in a process of its own, as it patches sockets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PROGRAM = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import eventlet; eventlet.monkey_patch()
import socket
from service.transport.http.eventlet_server import _Listener

def look(accepted, client):
    one, address = accepted
    client.sendall(b"here")
    said = one.recv(10).decode()
    one.sendall(b"there")
    one.close()
    return [
        *(type(one).__name__, type(one.fd).__name__, one.family, one.type, one.proto),
        *(one.gettimeout(), one.fd.gettimeout(), said, client.recv(10).decode(), client.recv(1).decode()),
        isinstance(address, tuple) and [address[0], address[1] == client.getsockname()[1], len(address)],
    ]

def flags(one):
    return [os.get_blocking(one.fileno()), os.get_inheritable(one.fileno())]

found = []
for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, sys.argv[1])):
    listening = socket.socket(family)
    listening.bind(address)
    listening.listen(5)
    ways = []
    for accept, waits in (
        (listening.accept, False), (_Listener(listening).accept, False), (_Listener(listening).accept, True)
    ):
        client, accepted = socket.socket(family), []
        if waits:
            task = eventlet.spawn(accept)
            eventlet.sleep(0)
        client.connect(listening.getsockname())
        taken = task.wait() if waits else accept()
        ways.append([*flags(taken[0]), *look(taken, client)])
    found.append(ways)
print(json.dumps(found))
"""


def test_accepted_connection_is_what_the_library_makes(tmp_path: Path) -> None:
    """Whether it is there already or is waited for."""
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "socket")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    for theirs, *ours in json.loads(ran.stdout):
        assert ours == [theirs, theirs]
