"""What is stored: a Redis full of sessions, and the archive."""

from __future__ import annotations

from benchmarks.figures import Goal
from benchmarks.loads.load import Load
from benchmarks.running.trial import Contestant
from benchmarks.servers.ours import MUSTER


def _full(count: int) -> Contestant:
    """A Redis with so many sessions."""
    own = {"sessions": count}
    return Contestant(MUSTER, options=own, label=(f"sessions-{count}", f"Muster, {count:,}"))


MILLION = "sessions-1000000"

STORES = (
    Load(
        "sessions",
        "Lists and registers with 1,000 and with 1,000,000 sessions in Redis",
        (_full(1_000), _full(1_000_000)),
        (
            Goal("a page of 100, p99 ms", "value", "page_p99_ms", 5, contestant=MILLION),
            Goal("the same by REST, p99 ms", "value", "rest_page_p99_ms", 5, contestant=MILLION),
            Goal(
                *("register, p99 against 1,000 sessions", "more", "register_p99_ms", 2),
                peers=("sessions-1000",),
                contestant=MILLION,
            ),
        ),
        (
            *("page_p50_ms", "page_p99_ms", "rest_page_p50_ms", "rest_page_p99_ms"),
            *("register_p50_ms", "register_p99_ms", "session_bytes"),
        ),
        mode="sessions",
        rounds=1,
    ),
    Load(
        "archive",
        "One worker archives sessions of 100 kB and restores them",
        (Contestant(MUSTER),),
        (
            Goal("part of a plain loop that writes the same files", "least", "loop_part", 0.5),
            Goal("register to restored, p50 ms", "value", "restore_p50_ms", 10),
            Goal("register to restored, p99 ms", "value", "restore_p99_ms", 50),
        ),
        ("loop_part", "archived_per_s", "loop_per_s", "restore_p50_ms", "restore_p99_ms"),
        mode="archive",
    ),
)
