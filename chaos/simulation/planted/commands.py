"""Faults with commands and setups."""

from __future__ import annotations

from typing import Any

from chaos.simulation.planted.plant import Plant, method, script
from service.live.commands.answers import CommandAnswers
from service.manager.setups import SetupManager

_AGAIN = "a command is sent again only while it is not acknowledged"
_ORDER = "commands arrive, in order, and a repeated request is one command"
_LIFE = "a command lives as long as was asked"
_TAKE = "if record.status ~= 'delivered' and (number"
_OPEN = "commands_open, 0, -1, 'WITHSCORES'"
_RENEWED = "record.attempt, record.generation = record.attempt + 1, generation"
_DEADLINE = "local deadline = now + (ARGV[9] ~= '' and tonumber(ARGV[9]) or ttl)"

_record = CommandAnswers._record


def _results_only(answers: Any, session_id: str, answer: Any) -> Any:
    return None if answer.ok is None else _record(answers, session_id, answer)


COMMANDS = [
    Plant(
        "acknowledged command sent again",
        lambda: script(_TAKE, "if true and (number"),
        _AGAIN,
    ),
    Plant(
        "command without an ack not sent again",
        lambda: script(_TAKE, "if record.status == 'queued' and (number"),
        "commands reach a connected device",
    ),
    Plant(
        "acks do not count",
        lambda: method(CommandAnswers, "_record", _results_only),
        "an acknowledged command does not come again",
    ),
    Plant(
        "late result not taken",
        lambda: script(
            "if not FINAL[record.status] then\n  local bytes",
            "if not FINAL[record.status] and record.status ~= 'delivered' then\n  local bytes",
        ),
        "a command and its outcome are kept",
    ),
    Plant(
        "cancelled command fails",
        lambda: script(
            "command_step(id, command_id, record, ARGV[7],",
            "command_step(id, command_id, record, ARGV[7] == 'cancelled' and 'failed' or ARGV[7],",
        ),
        "a command ends as its device said, or as was chosen",
    ),
    Plant(
        "cancelled command is sent all the same",
        lambda: script(
            "call('ZREM', key('commands_open', id), command_id)\n",
            "if status ~= 'cancelled' then call('ZREM', key('commands_open', id), command_id) end\n",
        ),
        _AGAIN,
    ),
    Plant(
        "command that has ended is cancelled",
        lambda: script(
            "if not FINAL[record.status] then\n  local bytes",
            "if not FINAL[record.status] or ARGV[7] == 'cancelled' then\n  local bytes",
        ),
        "every command ends in one final status",
    ),
    Plant(
        "half the deadline",
        lambda: script("ends_at = now + ttl, waiter", "ends_at = now + ttl / 2, waiter"),
        _LIFE,
    ),
    Plant(
        "command ended before its deadline",
        lambda: script(_DEADLINE, _DEADLINE.replace("or ttl)", "or ttl / 4)")),
        _LIFE,
    ),
    Plant(
        "command ended long after its deadline",
        lambda: script(_DEADLINE, _DEADLINE.replace("or ttl)", "or ttl + 9000)")),
        "commands end at their deadline",
        seed=12,
    ),
    Plant(
        "commands in reverse",
        lambda: script(f"call('ZRANGE', {_OPEN})", f"call('ZREVRANGE', {_OPEN})"),
        _ORDER,
        ("people cut off", "node killed"),
        seed=6,
    ),
    Plant(
        "attempts not counted",
        lambda: script(_RENEWED, "record.attempt, record.generation = 1, generation"),
        _ORDER,
    ),
    Plant(
        "nothing left to redo",
        lambda: script(
            "local back = direction == 'undo' and 'redo' or 'undo'",
            "local back = 'undo'",
        ),
        "steps back and forth lead where they came from",
        seed=4,
    ),
    Plant(
        "redo after another change",
        lambda: script("call('UNLINK', redo)\n", ""),
        "steps back and forth lead where they came from",
        seed=5,
    ),
    Plant(
        "setup not sent to its device",
        lambda: method(SetupManager, "_send_setup", lambda setups, state: state),
        "setups reach a connected device",
    ),
]
