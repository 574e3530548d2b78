"""Scopes: what a dashboard watches, which is the whole fleet, some sessions, or one project.

Two subscriptions with equal scopes share their frames, so a scope has a `key` by which it is
compared; the order of ids and repeated ids make no difference. Which samples are wanted belongs to
it. A cursor carries the scope's `digest`: a position in one scope says nothing about another,
because what was sent for the other is not known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Protocol

import orjson

from service import errors
from service.live.feed.choice import EVERYTHING, Choice
from service.schema.limits import MAX_WATCHED
from service.schema.names import check_known
from service.schema.unknown import unknown_among

FLEET = "fleet"
SESSIONS = "sessions"
PROJECT = "project"


class Partitions(Protocol):
    """Which partition holds a session (`service.sessions.store.keys.Keys`)."""

    partitions: int

    def partition(self, session_id: str) -> int: ...


@dataclass(frozen=True)
class Scope:
    """A set of sessions, by kind.

    Attributes:
        kind: "fleet", "sessions" or "project".
        names: sorted session ids, or project ids; empty for the fleet.
        fence: of named sessions, the projects they must be in, sorted; None: any.
        choice: which samples of them.
    """

    kind: str = FLEET
    names: tuple[str, ...] = ()
    fence: tuple[str, ...] | None = None
    choice: Choice = EVERYTHING
    _ids: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    @classmethod
    def parse(cls, value: object) -> Scope:
        """Parse the scope of a `register_vue` payload; None is the fleet.

        Raises:
            InvalidRequest: neither "fleet" nor `{sessions: […]}` nor `{project_id}`.
            TooLarge: more than `MAX_WATCHED` ids.
        """
        if value is None or value == FLEET:
            return cls()
        if isinstance(value, dict):
            wrong = unknown_among(value, (SESSIONS, "project_id"))
            if wrong:
                raise errors.InvalidRequest(f"scope: {wrong}")
        if not isinstance(value, dict) or len(value) != 1:
            raise errors.InvalidRequest(
                'scope must be "fleet", {"sessions": [ids]} or {"project_id": id}'
            )
        if "project_id" in value:
            return cls.project(check_known("scope.project_id", value["project_id"]))
        ids = value["sessions"]
        if not isinstance(ids, list) or not ids:
            raise errors.InvalidRequest("scope.sessions must be a list of at least one id")
        if len(ids) > MAX_WATCHED:
            raise errors.TooLarge(f"scope.sessions may hold {MAX_WATCHED} ids")
        return cls.sessions(check_known("scope.sessions", one) for one in ids)

    @classmethod
    def sessions(cls, ids: Iterable[str]) -> Scope:
        unique = frozenset(ids)
        return cls(SESSIONS, tuple(sorted(unique)), _ids=unique)

    @classmethod
    def project(cls, project_id: str) -> Scope:
        return cls(PROJECT, (project_id,))

    def within(self, projects: frozenset[str] | None) -> Scope:
        """Return the part of this scope that is in these projects; None: all of it.

        Raises:
            NotAllowed: the scope is another project.
        """
        if projects is None:
            return self
        if self.kind == FLEET:
            return Scope(PROJECT, tuple(sorted(projects)), choice=self.choice)
        if self.kind == SESSIONS:
            return replace(self, fence=tuple(sorted(projects)))
        if not projects.issuperset(self.names):
            raise errors.NotAllowed("Name a project_id that this token is for.")
        return self

    def choosing(self, choice: Choice) -> Scope:
        """Return the same sessions with another choice of samples."""
        return replace(self, choice=choice)

    @property
    def key(self) -> tuple[Any, ...]:
        """Return a hashable key, equal for scopes that hold the same sessions and samples by definition."""
        key = (self.kind, self.names, self.fence)
        chosen = self.choice
        return key if chosen == EVERYTHING else (*key, chosen.samples, chosen.keys)

    @cached_property
    def digest(self) -> str:
        """Return the scope in 16 letters, for cursors."""
        return sha256(orjson.dumps(self.key)).hexdigest()[:16]

    @property
    def project_id(self) -> str | None:
        """Return the one project this scope is, None for other kinds."""
        return self.names[0] if self.kind == PROJECT and len(self.names) == 1 else None

    def partitions(self, keys: Partitions) -> tuple[int, ...]:
        """Return the partitions whose feeds have this scope's changes, ascending."""
        if self.kind == SESSIONS:
            return tuple(sorted({keys.partition(one) for one in self.names}))
        return tuple(range(keys.partitions))

    def matches(self, session_id: str, project_id: str | None) -> bool:
        """Return whether a session that is in this project belongs to the scope."""
        if self.kind == FLEET:
            return True
        if self.kind == SESSIONS:
            return session_id in self._ids and self.admits(project_id)
        return (project_id or "") in self.names

    def admits(self, project_id: str | None) -> bool:
        """Return whether a named session of the scope may be in this project."""
        return self.fence is None or (project_id or "") in self.fence
