"""Reports of devices over HTTP: what they are charged, of which project they are, and what is counted."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.routing import Rule

from service import errors
from service.api.openapi import PREFIX
from service.api.routes import devices
from service.api.routes.devices import DeviceRequests
from service.security.permissions import DEVICE, NOBODY, Identity

LARGEST = 5000


class Bench:
    def __init__(self) -> None:
        self.charged: list[int] = []
        self.said: list[Any] = []
        self.counted: list[tuple[str, int]] = []
        self.answer: dict[str, Any] = {}
        metrics = SimpleNamespace(
            device_requests=SimpleNamespace(add=lambda kind: self.counted.append((kind, 1))),
            duplicates=SimpleNamespace(add=lambda: self.counted.append(("duplicates", 1))),
            samples=SimpleNamespace(add=lambda count: self.counted.append(("samples", count))),
        )
        self.requests = DeviceRequests(
            SimpleNamespace(update=self._update),  # type: ignore[arg-type]
            SimpleNamespace(),  # type: ignore[arg-type]
            SimpleNamespace(charge=lambda *args: self.charged.append(args[-1])),  # type: ignore[arg-type]
            SimpleNamespace(registration=lambda *_: "the token's"),  # type: ignore[arg-type]
            metrics,  # type: ignore[arg-type]
            now_s=lambda: 7.0,
            max_value_bytes=1000,
            max_body_bytes=LARGEST,
        )

    def _update(self, session_id: str, said: Any, *_: Any) -> dict[str, Any]:
        self.said.append(said)
        return self.answer


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Identity]]:
    who = [NOBODY]
    monkeypatch.setattr(devices, "current_identity", lambda: who[0])
    yield who


def charge(bench: Bench, data: bytes = b"", **headers: str) -> None:
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    with Flask(__name__).test_request_context("/", method="POST", data=data, headers=given):
        request.url_rule = Rule(f"{PREFIX}/devices/<device_id>/updates")
        request.view_args = {"device_id": "d1"}
        bench.requests.charge()


@pytest.mark.parametrize(
    ("data", "headers", "size"),
    [(b"", {}, 0), (b"x" * 70, {}, 70), (b"", {"Transfer_Encoding": "chunked"}, LARGEST)],
    ids=["none", "70 bytes", "chunks"],
)
def test_body_that_does_not_say_how_long_it_is_is_charged_as_the_longest(
    bench: Bench, identity: list[Identity], data: bytes, headers: dict[str, str], size: int
) -> None:
    charge(bench, data, **headers)
    assert bench.charged == [size]


@pytest.mark.parametrize(("device", "may"), [("d1", True), ("d2", False)])
def test_token_of_another_device_is_charged_nothing_and_refused(
    bench: Bench, identity: list[Identity], device: str, may: bool
) -> None:
    identity[0] = Identity(DEVICE, device=device)
    if may:
        charge(bench)
    else:
        with pytest.raises(errors.NotAllowed):
            charge(bench)
    assert len(bench.charged) == int(may)


@pytest.mark.parametrize(
    ("duplicate", "counted"), [(False, ("samples", 2)), (True, ("duplicates", 1))]
)
def test_report_is_of_the_tokens_project_and_counted_once(
    bench: Bench, identity: list[Identity], duplicate: bool, counted: tuple[str, int]
) -> None:
    bench.answer = {"duplicate": duplicate}
    body = devices.DeviceReport.model_validate(
        {"data": {"a": 1, "b": 2}, "project_id": "another", "expect_every_s": 90}
    )
    with Flask(__name__).test_request_context("/"):
        bench.requests.report_update(devices.DevicePath(device_id="d1"), body)
    [said] = bench.said
    assert (said.project_id, said.expect_every_ms) == ("the token's", 90_000)
    assert bench.counted == [counted]
