"""How the time of an orderly stop is divided."""

from __future__ import annotations

import pytest

from service.config.loader import Config
from service.node.http_server import DrainTimes


@pytest.mark.parametrize(
    ("drain_s", "wanted_s", "given_s"), [(5, 3, 3), (10, 3, 3), (2, 3, 1.2), (5, 0, 0)]
)
def test_notice_leaves_time_for_the_drain(drain_s: float, wanted_s: float, given_s: float) -> None:
    assert DrainTimes.of(drain_s, wanted_s) == (drain_s, pytest.approx(given_s))


def test_notice_is_whole_by_default() -> None:
    node = Config().node
    assert DrainTimes.of(node.drain_s, node.drain_notice_s).notice_s == node.drain_notice_s
