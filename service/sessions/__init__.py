"""Sessions: the rules and the Redis store.

`SessionManager` is usable on its own: `SessionManager.connect("redis://…")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from service.sessions.manager import SessionManager

__all__ = ["SessionManager"]


def __getattr__(name: str) -> Any:
    # lazy, so that the facts (model, keys) can be imported without redis
    if name == "SessionManager":
        from service.sessions.manager import SessionManager

        return SessionManager
    raise AttributeError(name)
