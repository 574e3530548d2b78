"""Requests of the Python client: what was lost is repeated where that does no harm, and only there."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from muster_client import Conflict, NotConnected, Operator, Refused
from muster_client.rest import in_path

from tests.support.waiting import wait_until

Answer = tuple[int, Any] | None


class Service(ThreadingHTTPServer):
    """Gives `answers` in turn, or what one returns; None: it hangs up, after it has read the request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer | Callable[[], Answer]] = []
        self.requests: list[tuple[str, str]] = []
        self.keys: list[str | None] = []
        self.connections = 0
        self.closes_after = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path))
        self.server.keys.append(self.headers.get("Idempotency-Key"))
        told = self.server.answers.pop(0)
        if callable(told):
            told = told()
        self.close_connection = told is None or self.server.closes_after
        if told is not None:
            body = json.dumps(told[1]).encode()
            self.send_response(told[0])
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def operator(service: Service) -> Iterator[Operator]:
    with Operator(f"http://127.0.0.1:{service.server_port}", timeout_s=5) as made:
        yield made


GONE = (404, {"code": "session_not_found", "message": "no"})


def test_command_whose_answer_was_lost_is_repeated_with_its_key(
    service: Service, operator: Operator
) -> None:
    service.answers = [None, (200, {"command_id": "c", "status": "succeeded"})]
    assert operator.send_command("kiosk", "reboot")["status"] == "succeeded"
    assert len(set(service.keys)) == 1
    assert None not in service.keys


def test_setup_whose_answer_was_lost_is_not_repeated(service: Service, operator: Operator) -> None:
    service.answers = [None]
    with pytest.raises(NotConnected):
        operator.put_setup("kiosk", 1, version=3)
    assert len(service.requests) == 1


def test_delete_whose_answer_was_lost_is_done_when_the_session_is_gone(
    service: Service, operator: Operator
) -> None:
    service.answers = [None, GONE]
    operator.delete("kiosk")
    service.answers = [GONE]
    with pytest.raises(Refused):
        operator.delete("kiosk")


@pytest.mark.parametrize("status", ["cancelled", "succeeded"])
def test_cancel_whose_answer_was_lost_looks_what_the_command_came_to(
    status: str, service: Service, operator: Operator
) -> None:
    ended = (409, {"code": "conflict", "message": "it has ended"})
    service.answers = [None, ended, (200, {"status": status})]
    if status == "cancelled":
        operator.cancel("kiosk", "c")
    else:
        with pytest.raises(Refused):
            operator.cancel("kiosk", "c")


def test_connection_is_kept_and_one_that_the_service_closed_is_replaced_unnoticed(
    service: Service, operator: Operator
) -> None:
    service.answers = [(200, {"setup_version": n}) for n in range(4)]
    operator.put_setup("kiosk", 1)
    operator.put_setup("kiosk", 1)
    assert service.connections == 1
    service.closes_after = True
    operator.put_setup("kiosk", 1)
    operator.put_setup("kiosk", 1)
    assert service.connections == 2


def test_request_that_was_interrupted_leaves_no_answer_to_the_next(
    service: Service, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: http.client.HTTPConnection) -> None:
        raise KeyboardInterrupt

    heard = threading.Event()

    def late() -> None:
        heard.wait(4)

    service.answers = [late, (200, {"setup_version": 7})]
    with monkeypatch.context() as during:
        during.setattr(http.client.HTTPConnection, "getresponse", interrupt)
        with pytest.raises(KeyboardInterrupt):
            operator.session("a")
    wait_until(lambda: len(service.answers) == 1)
    assert operator.put_setup("a", 1) == 7
    heard.set()


def test_each_request_has_its_own_patience_also_on_a_kept_connection(
    service: Service, operator: Operator
) -> None:
    heard = threading.Event()

    def silence() -> None:
        heard.wait(4)

    service.answers = [(200, {"session_id": "a"}), silence]
    operator.session("a")
    begun = time.monotonic()
    with pytest.raises(NotConnected):
        operator._rest("GET", "/sessions/a", timeout_s=0.05)
    assert time.monotonic() - begun < 3
    heard.set()


def test_request_under_way_when_the_operator_is_closed_keeps_no_connection(
    service: Service, operator: Operator
) -> None:
    def close() -> Answer:
        operator.close()
        return 200, {"session_id": "a"}

    service.answers = [close]
    assert operator.session("a") == {"session_id": "a"}
    assert operator._rest._idle == []


def test_gateway_that_gave_up_says_nothing_about_what_was_done(
    service: Service, operator: Operator
) -> None:
    """A setup is not changed twice, a command has its key, and a session that is gone then was deleted."""
    timeout = (504, "no answer in time")
    service.answers = [timeout]
    with pytest.raises(NotConnected, match="504"):
        operator.put_setup("kiosk", 1, version=3)
    service.answers = [timeout, GONE]
    operator.delete("kiosk")
    service.answers = [(502, {"message": "nobody there"}), (200, {"session_id": "kiosk"})]
    assert operator.session("kiosk") == {"session_id": "kiosk"}
    service.answers = [(503, {"code": "draining", "message": "later", "retryable": False})]
    with pytest.raises(Refused, match="draining"):
        operator.session("kiosk")


def test_process_that_was_forked_makes_connections_of_its_own(
    service: Service, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a common one each would read what the other asked for."""
    service.answers = [(200, {"setup_version": n}) for n in range(3)]
    operator.put_setup("kiosk", 1)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    operator.put_setup("kiosk", 1)
    operator.put_setup("kiosk", 1)
    assert service.connections == 2


def test_conflict_carries_the_present_version(service: Service, operator: Operator) -> None:
    service.answers = [(412, {"code": "precondition_failed", "message": "", "setup_version": 7})]
    with pytest.raises(Conflict) as raised:
        operator.put_setup("kiosk", 1, version=3)
    assert raised.value.version == 7


def test_keys_of_a_series_are_asked_for_one_by_one(service: Service, operator: Operator) -> None:
    service.answers = [(200, {"points": {}})]
    operator.series("kiosk", ["a", "b&c"], step=60)
    assert service.requests == [
        ("GET", "/api/v1/sessions/kiosk/data?keys=a&keys=b%26c&step=60&agg=avg")
    ]


def test_every_id_stays_itself_in_a_path() -> None:
    found = [in_path(one) for one in ("a/b?", ".", "..", "\x7f.", "ü")]
    assert found == ["a%2Fb%3F", "%7F.", "%7F..", "%7F%7F.", "%C3%BC"]


def test_archive_has_more_time_than_the_service_takes_to_say_which_job_continues_it(
    service: Service,
) -> None:
    """One that gave up before would be asked for again, as another job."""

    def late() -> Answer:
        time.sleep(0.3)
        return (202, {"job_id": "j"})

    with Operator(f"http://127.0.0.1:{service.server_port}", timeout_s=0.1) as operator:
        for ask in (operator.archive, operator.restore):
            service.answers = [late]
            assert ask("kiosk") == {"job_id": "j"}
    assert len(service.requests) == 2
