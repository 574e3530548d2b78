"""Nodes of the transport that all tests here share, and clients that are cut at the end of each test."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import socketio

from service.native import find_native
from tests.support.clients.raw_clients import RawWebsocket
from tests.support.clients.raw_wires import Wire
from tests.support.crowds.bystanders import Bystander
from tests.support.nodes.socket_nodes import Node

Connect = Callable[..., RawWebsocket]


@pytest.fixture(
    scope="package",
    params=[(mode, road) for mode in ("eventlet", "gevent") for road in ("fast", "ordinary")],
    ids=lambda param: "-".join(param),
)
def node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """One of each kind for all tests here; after them nothing is left behind and no error was logged."""
    node = Node(*request.param, tmp_path_factory.mktemp("node"))
    try:
        figures = node.figures()
        assert figures["road"] == request.param[1]
        is_native = find_native("auto") is not None and request.param == ("eventlet", "fast")
        assert figures["reads"] == ("native" if is_native else "python")
        yield node
        node.wait_for_silence(25)
    finally:
        node.end()
    log = node.log.read_text()
    assert "Traceback" not in log, log[-4000:]
    assert "ERROR" not in log, log[-4000:]


@pytest.fixture
def bystander(node: Node) -> Iterator[None]:
    """Another client is served as ever during the test."""
    other = Bystander(node.port)
    yield
    other.leave()


@pytest.fixture
def connect(node: Node) -> Iterator[Connect]:
    """Makes websockets to the node that are cut at the end of the test."""
    made: list[RawWebsocket] = []

    def make(**options: Any) -> RawWebsocket:
        made.append(RawWebsocket(node.port, **options))
        return made[-1]

    yield make
    for client in made:
        client.cut()


@pytest.fixture
def ws(connect: Connect) -> RawWebsocket:
    return connect()


@pytest.fixture
def wire(node: Node) -> Iterator[Callable[..., Wire]]:
    """Makes websockets that a test writes byte by byte."""
    made: list[Wire] = []

    def make(early: bytes = b"", query: str = "") -> Wire:
        made.append(Wire(node.port, early, query))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def python_client() -> Iterator[socketio.Client]:
    """python-socketio's own client, which comes back fast when it does."""
    with requests.Session() as session:
        client = socketio.Client(reconnection_delay=0.05, http_session=session)
        yield client
        client.shutdown()
    del client
    gc.collect()
