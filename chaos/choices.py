"""What a dashboard chooses to see, in the fields of `register_vue`, and whether it sees a session then."""

from __future__ import annotations

import random
from typing import Any

#: Fields of `register_vue` that choose.
Choice = dict[str, Any]


def draw(chance: random.Random, ids: list[str], senders: list[str]) -> Choice:
    """Choose by the seed.

    Args:
        chance: Decides.
        ids: Of sessions.
        senders: Data keys of samples.
    """
    scope: Choice = chance.choice(
        [
            {},
            {"scope": {"project_id": chance.choice(["red", "blue"])}},
            {"scope": {"sessions": ids[: max(1, len(ids) // 2)]}},
        ]
    )
    how: Choice = chance.choice(
        [
            {"batch": False},
            {"samples": "none"},
            {"samples": "latest", "interval_ms": 300},
            {"values": senders[:2]},
        ]
    )
    return scope | how


def sees(choice: Choice, row: dict[str, Any]) -> bool:
    """Return whether a session with this summary is in the scope."""
    scope = choice.get("scope")
    if not isinstance(scope, dict):
        return True
    if "project_id" in scope:
        return bool(row["project_id"] == scope["project_id"])
    return row["session_id"] in scope["sessions"]
