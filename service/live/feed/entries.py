"""Feed entries: what they say, and which subscriptions they concern.

Entries are flat lists of bytes. A data entry holds the samples of up to 500 sessions as the
ingesting node encoded them; here they are only cut apart and put behind their session's id, and
decoded only for those who are served sample by sample. What is built from an entry (a fragment of
a batch, the frames of its samples, a summary's JSON) is built at its first use and then shared by
all subscriptions.

`Routes` knows who watches what: one look-up per part and kind of scope, however many subscriptions
there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import orjson

from service.live.feed.scope import FLEET, PROJECT, Scope
from service.sessions import model
from service.transport.connection import Frame, event_frame


def changes_in(fields: list[bytes]) -> int:
    """Return of how many sessions an entry says something; one of samples has two fields for each."""
    return max(1, len(fields) // 2 - 1) if fields[0] == b"data" else 1


class Part:
    """One session's samples of one data entry."""

    __slots__ = (
        "_fragment", "_frames", "_revs", "_samples", "project", "rev", "samples_json", "session"
    )  # fmt: skip

    def __init__(self, session: bytes, project: bytes, rev: bytes, samples_json: bytes) -> None:
        self.session = session
        self.project = project  #: escaped, as it stands in the entry
        self.rev = rev  #: after the last sample, decimal
        self.samples_json = samples_json
        self._fragment: bytes | None = None
        self._samples: list[list[Any]] | None = None
        self._frames: list[Frame] | None = None
        self._revs: list[int] | None = None

    def only(self, places: Sequence[int]) -> Part:
        """Return a part that has only these of its samples; they keep their revs."""
        if len(places) == len(self.samples):
            return self
        samples, revs = [self.samples[i] for i in places], self.revs
        part = Part(self.session, self.project, self.rev, orjson.dumps(samples))
        part._samples, part._revs = samples, [revs[i] for i in places]
        return part

    @property
    def fragment(self) -> bytes:
        """Return `["session id",rev,[samples]]`, a member of `updates`."""
        if self._fragment is None:
            name = orjson.dumps(self.session.decode())
            self._fragment = b"[%b,%b,%b]" % (name, self.rev, self.samples_json)
        return self._fragment

    @property
    def samples(self) -> list[list[Any]]:
        """Return the samples decoded: `[key, value, ts]`, oldest first."""
        if self._samples is None:
            self._samples = orjson.loads(self.samples_json)
        return self._samples

    @property
    def first_rev(self) -> int:
        """Return the rev of the first sample."""
        return self.revs[0]

    @property
    def revs(self) -> Sequence[int]:
        """Return the rev of each sample: one by one up to that of the part, unless some were left out."""
        if self._revs is None:
            last = int(self.rev)
            return range(last - len(self.samples) + 1, last + 1)
        return self._revs

    @property
    def frames(self) -> list[Frame]:
        """Return one `session_data_key_update` per sample."""
        if self._frames is None:
            name = self.session.decode()
            rows = zip(self.revs, self.samples, strict=True)
            self._frames = [sample_frame(name, rev, sample) for rev, sample in rows]
        return self._frames


class State:
    """A session's summary after a change."""

    __slots__ = (
        "_summary_json", "changes_counts", "fields", "previous_project", "project", "session"
    )  # fmt: skip

    def __init__(self, session: bytes, fields: dict[str, str]) -> None:
        self.session = session
        self.previous_project = fields.pop("previous_project_id", None)
        #: More or fewer sessions may be active, inactive or archived than before.
        self.changes_counts = fields.pop("counts", "") != "same"
        self.project = fields.get("project_id", "")
        self.fields = fields
        self._summary_json: bytes | None = None

    @property
    def summary_json(self) -> bytes:
        if self._summary_json is None:
            raw = {"session_id": self.session.decode(), **self.fields}
            self._summary_json = orjson.dumps(model.summary(raw))
        return self._summary_json


class Command:
    """A new status of a command."""

    __slots__ = ("_payload", "command_id", "fields", "project", "session")

    def __init__(self, session: bytes, fields: dict[str, str]) -> None:
        self.session = session
        self.project = fields.get("project_id", "")
        self.command_id = fields.get("command_id", "")
        self.fields = fields
        self._payload: bytes | None = None

    @property
    def payload(self) -> bytes:
        """Return the argument of `command_update`, with result and error as they are in the entry."""
        if self._payload is None:
            get = self.fields.get
            head = orjson.dumps(
                {
                    "session_id": self.session.decode(),
                    "command_id": self.command_id,
                    "command": get("command"),
                    "status": get("status"),
                    "at": model.to_seconds(get("at")),
                }
            )
            tail = b"".join(
                b',"%b":%b' % (name.encode(), get(name, "").encode())
                for name in ("result", "error")
                if get(name)
            )
            self._payload = head[:-1] + tail + b"}"
        return self._payload


def sample_frame(
    session_id: str, rev: int, sample: Sequence[Any], *, conflated: bool = False
) -> Frame:
    """Build the `session_data_key_update` of one sample."""
    payload = {
        "device_id": session_id,
        "session_id": session_id,
        "key": sample[0],
        "value": sample[1],
        "ts": sample[2],
        "rev": rev,
    }
    if conflated:
        payload["conflated"] = True
    return event_frame("session_data_key_update", orjson.dumps(payload))


def escape_project(project_id: str) -> bytes:
    """Return a project id as data entries spell it."""
    return project_id.replace("%", "%25").replace("|", "%7C").encode()


class Sink(Protocol):
    """Takes the changes of one scope in the order of the feed."""

    def add_data(self, part: Part, partition: int, number: int) -> None: ...
    def add_state(self, state: State, partition: int, number: int) -> None: ...
    def add_removed(self, session: bytes, partition: int, number: int) -> None: ...
    def add_command(self, command: Command, partition: int, number: int) -> None: ...


class _ProjectFilter:
    """A sink that gets changes of named sessions only while they are in certain projects."""

    def __init__(self, sink: Sink, projects: Iterable[str]) -> None:
        self.sink = sink
        self._projects = frozenset(projects)
        self._escaped = frozenset(map(escape_project, self._projects))

    def __eq__(self, other: object) -> bool:
        return other is self.sink or other is self

    __hash__ = None  # type: ignore[assignment]

    def admits(self, project: str) -> bool:
        return project in self._projects

    def loses(self, previous: str, project: str) -> bool:
        """Return whether the sink saw a session that has now left its projects."""
        return previous in self._projects and project not in self._projects

    def add_data(self, part: Part, partition: int, number: int) -> None:
        if part.project in self._escaped:
            self.sink.add_data(part, partition, number)


class Routes:
    """Sinks by what they watch."""

    def __init__(self) -> None:
        self._fleet: list[Sink] = []
        self._sessions: dict[bytes, list[Sink | _ProjectFilter]] = {}
        self._projects: dict[bytes, list[Sink]] = {}

    def add(self, scope: Scope, sink: Sink) -> None:
        if scope.kind == FLEET:
            self._fleet.append(sink)
            return
        places, names = self._places(scope)
        listed = sink if scope.fence is None else _ProjectFilter(sink, scope.fence)
        for name in names:
            places.setdefault(name, []).append(listed)

    def remove(self, scope: Scope, sink: Sink) -> None:
        """Remove a sink; harmless when it is not there."""
        if scope.kind == FLEET:
            if sink in self._fleet:
                self._fleet.remove(sink)
            return
        places, names = self._places(scope)
        for name in names:
            sinks = places.get(name, [])
            if sink in sinks:
                sinks.remove(sink)
            if not sinks:
                places.pop(name, None)

    def _places(self, scope: Scope) -> tuple[dict[bytes, list[Any]], list[bytes]]:
        if scope.kind == PROJECT:
            return self._projects, [escape_project(name) for name in scope.names]
        return self._sessions, [name.encode() for name in scope.names]

    def route(self, partition: int, number: int, fields: list[bytes]) -> None:
        """Give an entry to all sinks it concerns; skip kinds that are unknown.

        Raises:
            ValueError, IndexError: the entry is not of the documented form.
        """
        kind = fields[0]
        if kind == b"data":
            self._route_data(partition, number, fields)
            return
        session = fields[1]
        if kind == b"state":
            self._route_state(State(session, _pairs(fields)), partition, number)
        elif kind == b"command":
            command = Command(session, _pairs(fields))
            for sink in self._watching(session, command.project):
                sink.add_command(command, partition, number)
        elif kind == b"removed":
            project = _pairs(fields).get("project_id", "")
            for sink in self._watching(session, project):
                sink.add_removed(session, partition, number)

    def _route_data(self, partition: int, number: int, fields: list[bytes]) -> None:
        fleet, sessions, projects = self._fleet, self._sessions, self._projects
        if len(fields) != 2 * int(fields[1]) + 2:
            raise ValueError("a data entry is not as long as it says")
        for place in range(2, len(fields), 2):
            rev, project, session = fields[place].split(b"|", 2)
            wanted = (
                fleet or (sessions and session in sessions) or (projects and project in projects)
            )
            if not wanted:
                continue
            part = Part(session, project, rev, fields[place + 1])
            for sink in fleet:
                sink.add_data(part, partition, number)
            if sessions:
                for listed in sessions.get(session, ()):
                    listed.add_data(part, partition, number)
            if projects:
                for sink in projects.get(project, ()):
                    sink.add_data(part, partition, number)

    def _route_state(self, state: State, partition: int, number: int) -> None:
        for sink in self._watching(state.session, state.project):
            sink.add_state(state, partition, number)
        previous = state.previous_project
        if previous is None or previous == state.project:
            return
        if self._projects:
            still = self._projects.get(escape_project(state.project), ())
            for sink in self._projects.get(escape_project(previous), ()):
                if sink not in still:  # a sink may watch several projects
                    sink.add_removed(state.session, partition, number)
        for listed in self._sessions.get(state.session, ()):
            if isinstance(listed, _ProjectFilter) and listed.loses(previous, state.project):
                listed.sink.add_removed(state.session, partition, number)

    def _watching(self, session: bytes, project: str) -> list[Sink]:
        found = list(self._fleet)
        for listed in self._sessions.get(session, ()):
            if not isinstance(listed, _ProjectFilter):
                found.append(listed)
            elif listed.admits(project):
                found.append(listed.sink)
        if self._projects:
            found += self._projects.get(escape_project(project), ())
        return found


def _pairs(fields: list[bytes]) -> dict[str, str]:
    texts = [field.decode() for field in fields[2:]]
    return dict(zip(texts[::2], texts[1::2], strict=True))
