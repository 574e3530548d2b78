"""`muster top` on 80 columns and 24 lines: what is wrong, how fast it is, who sends most."""

from __future__ import annotations

import dataclasses
from typing import Any

from service.cli.top import Look, Rates, Screen
from service.observability.alarms import Alarm

UUID = "3f2a8c1e-94b7-4d0e-8a51-6f0c2b7d9e{:02d}"


def session(number: int, rev: int) -> dict[str, Any]:
    return {
        "session_id": UUID.format(number),
        "session_name": "A name that is long " * 3,
        "rev": rev,
        "is_connected": True,
        "node_id": "web-1-abcdefghij",
        "start_time": 990.0,
    }


def node(number: int, stored: int, at_ms: int, **more: str) -> dict[str, str]:
    figures = {"ready": "1", "devices": "5000", "dashboards": "12", "backlog_bytes": "0"}
    name = f"muster-node-7d9f8b6c5d-x2k4q-{number:010d}"
    return {"node_id": name, "seen_at": str(at_ms), "stored": str(stored), **figures, **more}


FIRST = Look(
    at_s=1000,
    counts={"active": 30, "inactive": 2, "archived": 1},
    nodes=[node(number, 0, 1_000_000) for number in range(6)],
    workers=1,
    alarms=[Alarm("no_workers", "critical", "No worker is there: nothing is swept or archived.")],
    compared=[session(number, 100) for number in range(30)],
    newest=[session(number, 1) for number in range(5)],
)
SECOND = dataclasses.replace(
    FIRST,
    at_s=1002,
    nodes=[node(number, 200, 1_002_000) for number in range(6)],
    compared=[session(number, 100 + 2 * number) for number in range(30)],
)


def shown(screen: Screen, look: Look, width: int = 80, height: int = 24) -> list[str]:
    lines = screen.lines(look, width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    return [line.plain for line in lines]


def test_a_screen_of_80_by_24_has_all_of_it() -> None:
    screen = Screen()
    assert (
        "samples/s …" in "\n".join(shown(screen, FIRST)) or "samples/s 0" in shown(screen, FIRST)[0]
    )
    lines = shown(screen, SECOND)
    text = "\n".join(lines)
    assert lines[0].endswith("samples/s 600")
    assert lines[1].startswith("critical: no_workers")
    assert "muster-node-7d9f8b6c5d-x2k4q-0000000000" in text
    assert "busiest sessions" in text
    assert "newest sessions" in text
    busiest = lines[next(n for n, line in enumerate(lines) if line.startswith("busiest")) + 1]
    assert busiest.split()[:2] == [UUID.format(29), "29.0"]


def test_what_has_no_room_is_left_out_from_below() -> None:
    screen = Screen()
    shown(screen, FIRST, 40, 8)
    lines = shown(screen, SECOND, 40, 8)
    assert lines[1].startswith("critical")


def test_hostile_names_stay_in_their_line() -> None:
    bad = {**session(1, 5), "session_id": "a\nb\x1b[31m", "session_name": "\u202e"}
    text = "\n".join(shown(Screen(), dataclasses.replace(FIRST, newest=[bad])))
    assert "a\\nb\\u001b[31m" in text or "a\\u000ab\\u001b[31m" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_rates_survive_a_node_that_has_not_reported_and_one_that_restarted() -> None:
    rates = Rates()
    assert rates.move({"a": (10, 100)}) == {}
    assert rates.move({"a": (12, 300)}) == {"a": 100}
    assert rates.move({"a": (12, 300)}) == {"a": 100}
    assert rates.move({"a": (14, 0)}) == {"a": 0}
    assert rates.move({}) == {}
