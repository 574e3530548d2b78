"""Who acts: the bearer of a token, a person at the command line, or the service itself.

Every lifecycle event says by whom it was brought about (`by` in docs/redis.md). What begins something for
a client (a handler of an event, a request, a job, a command) says so here once; the store reads it where it writes.
Tasks act for the service, unless they say otherwise: what a node does later for many sockets at once is not
done by the socket that came last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

Via = Literal["socket", "rest", "job", "cli"]

#: UTF-8 bytes of a name: 200 events of a session have one each.
MAX_WHO_BYTES = 128
MAX_ROLE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and in which way."""

    who: str  #: the token's `sub`, the user of a command; "" where there is none
    role: str  #: of the token; `service`: nodes and workers by themselves
    via: Via

    @property
    def json(self) -> str:
        """Return it as events have it, bounded."""
        return _json(self)

    @classmethod
    def of(cls, noted: Any, via: Via) -> Actor:
        """Return the actor that something was noted for; the service where that cannot be read."""
        if not isinstance(noted, Mapping):
            return SERVICE
        who, role = noted.get("who"), noted.get("role")
        if not isinstance(who, str) or not isinstance(role, str) or not role:
            return SERVICE
        return cls(who, role, via)


#: What nodes and workers do by themselves.
SERVICE: Final = Actor("", "service", "job")

_present: ContextVar[Actor] = ContextVar("actor", default=SERVICE)


def actor() -> Actor:
    """Return who acts in this task."""
    return _present.get()


def act_for(one: Actor) -> None:
    """Let this task act for this client from now on."""
    _present.set(one)


class _Acting:
    """What `acting_for` returns: a generator would take twice the calls for each event of a socket."""

    __slots__ = ("_one", "_token")

    def __init__(self, one: Actor) -> None:
        self._one = one

    def __enter__(self) -> None:
        self._token = _present.set(self._one)

    def __exit__(self, *_: object) -> None:
        _present.reset(self._token)


def acting_for(one: Actor) -> AbstractContextManager[None]:
    """Let this task act for this client inside."""
    return _Acting(one)


@lru_cache(1024)
def _json(one: Actor) -> str:
    shown = {"who": cut(one.who, MAX_WHO_BYTES), "role": cut(one.role, MAX_ROLE_BYTES)}
    return json.dumps({**shown, "via": one.via}, ensure_ascii=False, separators=(",", ":"))


def cut(text: str, most: int) -> str:
    """Return a text of at most so many UTF-8 bytes, which ends with a whole character."""
    return text.encode(errors="replace")[:most].decode(errors="ignore")
