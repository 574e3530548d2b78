"""Faults with who owns a session: former sockets, registers that are refused, and ones that were sent away."""

from __future__ import annotations

from chaos.simulation.planted.plant import Plant, method, script
from service.sessions.store.devices import DeviceStore
from service.sockets.postponed import PostponedRegisters

_AWAY = "who was sent away stays away, and comes back"
_NO_LONGER = "who was sent away is refused no longer"
_OFTEN = "a register is refused as long as is promised, and no longer"
_FORMER = "no earlier connection takes a session back"
_LOST = ("messages lost",)
_KICK = "local kick = {text(now + away), "

_FORMERS = [
    Plant(
        "a former socket registers again",
        lambda: script("if owner > accepted_by and owner <= now", "if false"),
        "a former socket does not register again",
        seed=3,
    ),
    Plant(
        "a former socket reports a setup",
        lambda: script("if is[1] ~= ARGV[5] then return 'stale' end\nif is[2]", "if is[2]"),
        _FORMER,
        _LOST,
        seed=30,
    ),
    Plant(
        "a former socket changes the setup",
        lambda: script("if generation ~= '' and is[1] ~= generation then return {'stale'} end", ""),
        _FORMER,
        _LOST,
        seed=30,
    ),
    Plant(
        "a former socket hands in a result",
        lambda: script(
            "if generation ~= '' and call('HGET', key('session', id), 'generation') ~= generation",
            "if false",
        ),
        _FORMER,
        _LOST,
        seed=37,
    ),
]
_REFUSED = [
    Plant(
        "refused registers are not repeated",
        lambda: method(PostponedRegisters, "add", lambda *_: None),
        "a refused register is repeated",
        seed=6,
    ),
    Plant(
        "refused registers count",
        lambda: script(
            "if oldest > now - window and oldest <= now then",
            "call('LPUSH', registers, now_ms)\n    if oldest > now - window and oldest <= now then",
        ),
        _OFTEN,
    ),
]
_SENT_AWAY = [
    Plant(
        "who was sent away is let in",
        lambda: script("if away > 0 then return {'kicked', away} end\n-- A", "-- A"),
        _AWAY,
        seed=6,
    ),
    Plant(
        "who was sent away reports",
        lambda: method(DeviceStore, "check_away", lambda *_: None),
        _AWAY,
        seed=10,
    ),
    Plant(
        "who was sent away comes back too early",
        lambda: script(_KICK, "local kick = {text(now + away / 2), "),
        _AWAY,
        seed=6,
    ),
    Plant(
        "who was sent away is banned",
        lambda: script(_KICK, "local kick = {text(now + away + 60000), "),
        _NO_LONGER,
        seed=6,
    ),
    Plant(
        "who was sent away stays connected",
        lambda: script(
            "return {'ok', kick[3], kick[4], kick[5], kick[6]}",
            "return {'ok', '', '', kick[5], kick[6]}",
        ),
        "who was sent away is closed",
        seed=6,
    ),
]

OWNERS = [*_FORMERS, *_REFUSED, *_SENT_AWAY]
