"""Outcomes: a command is sent until it is acknowledged, and ends as was said, or at its deadline."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from chaos.checks.commands import FINAL, uncertain_ones
from chaos.evidence import Evidence
from chaos.journal import CommandShown, Received, Reported
from chaos.wishes import Answered, CancelAsked, CancelTaken, Ordered, OrderTaken, ResultTaken

#: So many finished commands of a session are kept.
KEPT = 100
#: Times are shown to the millisecond.
EXACT_S = 0.002


def sent_again(evidence: Evidence) -> list[str]:
    """Find commands that came over a connection which began after they were acknowledged, or had ended."""
    over: dict[str, tuple[float, str]] = {}
    for report in evidence.of(Reported):
        for name in report.seen:
            over.setdefault(name, (report.at, "seen"))
    known: list[CommandShown | CancelTaken] = [
        *evidence.of(CommandShown),
        *evidence.of(CancelTaken),
    ]
    for shown in known:
        if shown.status == "delivered" or shown.status in FINAL:
            before = over.get(shown.command_id, (shown.at, shown.status))
            over[shown.command_id] = min(before, (shown.at, shown.status))
    found, uncertain = [], uncertain_ones(evidence)
    for entry in evidence.of(Received):
        at, status = over.get(entry.command_id, (entry.at, ""))
        if at < entry.asked_at and entry.command_id not in uncertain:
            found.append(
                f"{entry.device}: {entry.command_id} was {status} at {at:.2f}, and came to "
                f"{entry.who} at {entry.at:.2f}"
            )
    return found


def as_said(evidence: Evidence) -> list[str]:
    """Find commands that ended in a way that was not chosen."""
    said: dict[str, set[str]] = defaultdict(set)
    for entry in evidence.of(Answered):
        said[entry.command_id].add(entry.what)
    for cancel in evidence.of(CancelAsked):
        said[cancel.command_id].add("cancel")
    wanted = {"succeeded": {"ok"}, "failed": {"failed"}, "cancelled": {"cancel"}}
    wanted |= {"timed_out": {"ack", "ok", "failed"}}
    uncertain, orders = uncertain_ones(evidence), _orders(evidence)
    first: dict[str, float] = {}
    for answer in evidence.of(Answered):
        first.setdefault(answer.command_id, answer.at)
    acked = [
        f"{shown.command_id} was delivered at {shown.at:.2f}, and nothing had been said of it"
        for shown in evidence.of(CommandShown)
        if shown.status == "delivered" and shown.command_id not in uncertain
        if shown.at < first.get(shown.command_id, shown.at + 1)
    ]
    return acked + [
        f"{name} has {status}, and of it was said: {sorted(said[name])}"
        for name, status in _ends(evidence).items()
        if name in orders and name not in uncertain
        if status in wanted and not wanted[status] & said[name]
    ]


def kept(evidence: Evidence) -> list[str]:
    """Find commands that are gone, ended otherwise than was answered, or have the answer of another one."""
    orders, uncertain, ends = _orders(evidence), uncertain_ones(evidence), _ends(evidence)
    found = []
    answers: list[ResultTaken | CancelTaken] = [
        *evidence.of(ResultTaken),
        *evidence.of(CancelTaken),
    ]
    for answer in answers:
        end = ends.get(answer.command_id, answer.status if answer.status in FINAL else "")
        if answer.command_id not in uncertain and answer.status != end:
            found.append(
                f"{answer.command_id}: {type(answer).__name__} was answered {answer.status}, "
                f"and it ended as {end}"
            )
    rows = {row["command_id"]: row for mine in evidence.commands.values() for row in mine}
    for name, order in orders.items():
        if name in uncertain:
            continue
        row = rows.get(name)
        if row is None:
            if len(evidence.commands.get(order.device, [None] * KEPT)) < KEPT:
                found.append(f"{order.device} has {name} no more")
            continue
        field = {"succeeded": "result", "failed": "error"}.get(row["status"])
        if field and row.get(field) != {"number": order.number}:
            found.append(f"{name}: asked {order.number}, {field} {row.get(field)}")
    return found


def in_time(evidence: Evidence) -> list[str]:
    """Find commands with another deadline than was asked for, and ones that it ended too early."""
    orders = _orders(evidence)
    delivered = {s.command_id for s in evidence.of(CommandShown) if s.status == "delivered"}
    found, uncertain = [], uncertain_ones(evidence)
    for row in (row for rows in evidence.commands.values() for row in rows):
        name, order = row["command_id"], orders.get(row["command_id"])
        if order is None:
            continue
        begun, ends, ended = (_seconds(row[f]) for f in ("created_at", "ends_at", "updated_at"))
        if abs(ends - begun - order.ttl_s) > EXACT_S:
            found.append(f"{name} lives for {ends - begun:.3f} s, {order.ttl_s} were asked for")
        if row["status"] in ("expired", "timed_out") and ended < ends - EXACT_S:
            found.append(f"{name} {row['status']} {ends - ended:.3f} s before its time")
        if row["status"] == "expired" and name in delivered and name not in uncertain:
            found.append(f"{name} expired, and was delivered")
    return found


def _orders(evidence: Evidence) -> dict[str, Ordered]:
    """Return what was asked for: command id → order."""
    asked = {(order.device, order.key): order for order in evidence.of(Ordered)}
    return {
        taken.command_id: asked[taken.device, taken.key]
        for taken in evidence.of(OrderTaken)
        if (taken.device, taken.key) in asked
    }


def _ends(evidence: Evidence) -> dict[str, str]:
    """Return how commands ended, as dashboards were shown it and as it is stored."""
    shown = {s.command_id: s.status for s in evidence.of(CommandShown) if s.status in FINAL}
    stored = (row for rows in evidence.commands.values() for row in rows)
    return shown | {row["command_id"]: row["status"] for row in stored if row["status"] in FINAL}


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
