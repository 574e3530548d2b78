"""Sockets of a device that is connected again: they do not give up, and what they ask changes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from chaos.journal import Insisted, Journal
from chaos.people.errands import Errands
from chaos.socket import Reply, Socket, SocketLost

#: So long they wait for an answer; a socket that is closed has none.
PATIENCE_S = 3.0


async def insist(
    socket: Socket,
    device_id: str,
    who: str,
    errands: Errands,
    ignored: list[Reply],
    journal: Journal,
) -> None:
    """Act as the owner by a socket that was one.

    Args:
        socket: That was one.
        device_id: Of what.
        who: Whose socket it is.
        errands: What the device has to do.
        ignored: Ack commands that came before; they have to come again all the same.
        journal: Notes what was answered.
    """
    for reply in ignored:
        reply({})
    asks: list[tuple[str, str, Any]] = [
        ("report of a setup", "update_setup", {"reported_version": 1_000_000}),
        ("setup", "update_setup", {"setup": {"mark": f"{who}-former"}}),
    ]
    if errands.unsettled:
        said = {"command_id": errands.unsettled, "ok": False, "error": {"former": True}}
        asks.append(("result", "command_result", said))
    await _ask(socket, asks, device_id, who, journal)
    # By the refusal of an update its node learns that it has lost the session, so that comes last.
    update = ("update", "update_data", {"data": {"former": 1}})
    await _ask(socket, [update], device_id, who, journal)


async def register_late(
    socket: Socket, payload: dict[str, Any], who: str, journal: Journal
) -> None:
    """Register by a socket that was connected before the one that has registered."""
    await _ask(socket, [("register", "register", payload)], payload["device_id"], who, journal)


async def _ask(
    socket: Socket, asks: list[tuple[str, str, Any]], device_id: str, who: str, journal: Journal
) -> None:
    """Send all of it, one right behind the other, and note the answers."""
    asked_at = journal.now
    coming = [(what, socket.ask(event, payload)) for what, event, payload in asks]
    for what, answer in coming:
        try:
            said = await asyncio.wait_for(asyncio.shield(answer), PATIENCE_S)
        except (SocketLost, TimeoutError):
            return
        journal.add(Insisted, device_id, who, what, said["ok"], asked_at)
