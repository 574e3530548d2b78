"""The question to the service whether it kept its word to a simulated fleet.

Each session is asked for over a dashboard socket, and what was acked counts as lost when

* the session is gone,
* its revision grew by less than the samples acked to it (each accepted sample is one revision),
* a session that began with this run counts fewer samples than were acked to it, or
* the kept history of `tick` has a hole or ends before the highest tick that was acked.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from service.cli.simulation import websocket
from service.cli.simulation.fleet import Fleet, SimulatedDevice

#: Questions in flight.
_QUESTIONS = 8


@dataclass(frozen=True, slots=True)
class Missing:
    """Acked updates that the service does not have."""

    session_id: str
    updates: int
    why: str


@dataclass(slots=True)
class Verdict:
    """What the service answered."""

    asked: int = 0
    repeated: int = 0  #: ticks stored twice
    missing: list[Missing] = field(default_factory=list)
    unasked: str = ""  #: why the service could not be asked, if it could not

    @property
    def lost(self) -> int:
        return sum(one.updates for one in self.missing)


async def verify(fleet: Fleet, on_progress: Callable[[int], None] = lambda asked: None) -> Verdict:
    """Ask the service for every device that had something acked.

    `on_progress` is called with the number of devices asked so far. When a node goes away meanwhile,
    what is left is asked of the next one.
    """
    verdict = Verdict()
    left = [one for one in fleet.members if one.device.counts.acked]
    for url in [*fleet.urls, *fleet.urls]:
        if left:
            verdict.unasked = await _ask_node(url, fleet.token, left, verdict, on_progress)
    return verdict


async def _ask_node(
    url: str,
    token: str | None,
    left: list[SimulatedDevice],
    verdict: Verdict,
    on_progress: Callable[[int], None],
) -> str:
    """Ask one node until nothing is left, or why that could not be."""
    try:
        dashboard = await websocket.connect(
            url,
            on_event=lambda event, payload, reply: None,
            on_closed=lambda reason: None,
            auth=None if token is None else {"token": token},
        )
    except (OSError, TimeoutError) as error:
        return f"{url}: {str(error) or 'no answer'}"

    async def ask() -> None:
        while left:
            one = left.pop()
            try:
                session = await _session(dashboard, one.device.device_id)
            except BaseException:
                left.append(one)
                raise
            missing, repeated = compare(one, session)
            verdict.asked += 1
            verdict.repeated += repeated
            if missing is not None:
                verdict.missing.append(missing)
            on_progress(verdict.asked)

    try:
        outcomes = await asyncio.gather(*(ask() for _ in range(_QUESTIONS)), return_exceptions=True)
    finally:
        dashboard.close()
    for outcome in outcomes:
        if isinstance(outcome, OSError | TimeoutError):
            return f"{url}: {str(outcome) or 'no answer'}"
        if outcome is not None:
            raise outcome
    return ""


def compare(one: SimulatedDevice, session: dict[str, Any] | None) -> tuple[Missing | None, int]:
    """Return what `session` lacks of the updates acked to a device, and how many ticks it has twice."""
    counts, device_id = one.device.counts, one.device.device_id
    if session is None:
        return Missing(device_id, counts.acked, "the session is gone"), 0
    grown = session["rev"] - (one.device.first_rev or 0)
    if grown < counts.acked_samples:
        short = counts.acked_samples - grown
        updates = min(counts.acked, math.ceil(short / one.most_samples))
        return Missing(device_id, updates, f"{short} samples short of its revision"), 0
    stored = session.get("statistics", {}).get("updates", 0)
    if one.is_new and stored < counts.acked_samples:
        short = counts.acked_samples - stored
        updates = min(counts.acked, math.ceil(short / one.most_samples))
        return Missing(device_id, updates, f"{short} samples short of its count"), 0
    ticks = [value for value, _ in session["data"].get("tick", [])]
    last = ticks[-1] if ticks else 0
    if last < one.acked_tick:
        return Missing(device_id, one.acked_tick - last, f"history ends at tick {last}"), 0
    hole = repeated = 0
    for earlier, later in zip(reversed(ticks[:-1]), reversed(ticks), strict=False):
        if later <= 1 and earlier != later:
            break  # the ticks before are from an earlier run
        repeated += earlier == later
        hole += max(0, later - earlier - 1)
    if hole and not counts.dropped and not counts.refused:
        return Missing(device_id, hole, "hole in the history"), repeated
    return None, repeated


async def _session(dashboard: websocket.Connection, device_id: str) -> dict[str, Any] | None:
    """Return the session, active or not; asks twice for `active`, which it may become in between."""
    for event in ("get_active_session", "get_inactive_session", "get_active_session"):
        while True:
            answer = await dashboard.call(event, {"device_id": device_id}, 30.0)
            if answer.get("ok"):
                session: dict[str, Any] = answer["session"]
                return session
            if not answer["error"].get("retryable"):
                break
            await asyncio.sleep(answer["error"].get("retry_after_s", 0.5))
        if answer["error"]["code"] != "session_not_found":
            raise ConnectionError(f"{answer['error']['code']}: {answer['error']['message']}")
    return None
