"""Times as REST writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.sessions.model import to_iso


@pytest.mark.parametrize(
    "ms",
    [
        *(1, 999, 59_999, 60_000, 951_782_399_999, 951_782_400_000),  # into a leap day
        *(
            1_795_983_599_999,
            1_795_983_600_007,
            4_102_444_799_990,
            253_402_300_799_999,
            -1,
            -61_001,
        ),
    ],
)
def test_time_is_that_of_datetime(ms: int) -> None:
    shown = to_iso(str(ms))
    assert shown is not None
    assert datetime.fromisoformat(shown).timestamp() * 1000 == pytest.approx(ms, abs=0.5)
    assert len(shown) == len("2026-11-29T20:19:05.123Z")
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    assert shown == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("nothing", [None, "", 0])
def test_no_time_is_none(nothing: str | int | None) -> None:
    assert to_iso(nothing) is None
