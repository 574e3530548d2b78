"""When a token ends, as Python's client reads it: it connects with the next one before that."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest
from muster_client import AsyncDevice
from muster_client.tokens import left_s


def token(claims: Any) -> str:
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{text}.signature"


@pytest.mark.parametrize("length", range(4))
def test_end_is_read_whatever_the_length_of_the_claims(length: int) -> None:
    assert left_s(token({"exp": 160, "sub": "a" * length}), 100) == 60


@pytest.mark.parametrize(
    "odd", [None, "", "word", "a.b.c", token({}), token({"exp": "soon"}), token(7)]
)
def test_token_whose_end_cannot_be_read_lasts(odd: str | None) -> None:
    assert left_s(odd, 100) is None


@pytest.mark.parametrize(("left", "renewed_in"), [(3600, 3540), (100, 90), (0.5, 1.0)])
@pytest.mark.parametrize("ahead", [0.0, -7200.0])
def test_device_renews_before_the_end_by_the_services_clock(
    left: float, renewed_in: float, ahead: float
) -> None:
    async def found() -> float:
        device: Any = AsyncDevice("http://127.0.0.1:1", "kiosk", token=lambda: "next")
        device._server_ahead_s = ahead
        shown = token({"exp": time.time() + ahead + left})
        loop = asyncio.get_running_loop()
        renewal = device._renew_at_end_of(shown, None)
        renewal.cancel()
        return float(renewal.when() - loop.time())

    assert asyncio.run(found()) == pytest.approx(renewed_in, abs=0.5)
