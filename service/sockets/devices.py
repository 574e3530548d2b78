"""Events of devices: data, setup, heartbeats, answers to commands.

A socket becomes a device by `register` (`service.sockets.registers`) and stays that device until it ends.
All its events act on its own session, carry the generation it was given, and are refused once another
connection owns the session. `update_data` goes from the frame to the ingest buffer without a task and is
acked when Redis has it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from service import errors
from service.clock import Clock
from service.live.commands.delivery import CommandDelivery
from service.live.ingest.ingest import Ingest
from service.live.ownership.owned import OwnedSession
from service.schema.integers import check_integers
from service.schema.samples import MayLose, parse_telemetry, parse_update
from service.schema.values import check_depth
from service.security import permissions
from service.sessions.model import SetupState
from service.sockets.dispatch import Call, Dispatcher, Peer
from service.sockets.events import payloads
from service.sockets.registers import check_held

log = logging.getLogger(__name__)

#: How a `command_result` begins whose `command_id` comes before its result.
_LONG_RESULT = re.compile(
    r'\[\s*"command_result"\s*,\s*\{\s*(?:"\w+"\s*:\s*(?:true|false|"[^"\\]*")\s*,\s*)*'
    r'"command_id"\s*:\s*"([^"\\]+)"'
)

OWN_ONLY = "A device acts on its own session only."


Answer = TypeVar("Answer")


class SetupReports(Protocol):
    """Where the versions are kept that devices run."""

    def reported(self, session_id: str, generation: int, version: int) -> bool: ...


class Setups(Protocol):
    """The part of the session manager that changes setups."""

    def update_setup(
        self,
        session_id: str,
        setup: Any,
        timestamp: None = None,
        *,
        version: int | None = None,
        generation: int | None = None,
    ) -> SetupState: ...


class Devices:
    """Handlers of the devices' events; `register` is in `Registers`.

    Args:
        reclaim: gets sessions back that Redis does not know as ours, and ends claims that are over.
    """

    def __init__(
        self,
        *,
        reports: SetupReports,
        setups: Setups,
        ingest: Ingest,
        commands: CommandDelivery,
        dispatcher: Dispatcher,
        clock: Clock,
        heard_of: Callable[[OwnedSession, int], None],
        reclaim: Callable[[int, list[OwnedSession]], None],
        max_value_bytes: int,
    ) -> None:
        self._heard_of = heard_of
        self._reclaim = reclaim
        self._reports = reports
        self._setups = setups
        self._ingest = ingest
        self._commands = commands
        self._dispatcher = dispatcher
        self._clock = clock
        self._max_value_bytes = max_value_bytes

    def listen(self) -> None:
        """Register the handlers of devices' events. See `update_setup`, which dashboards send too."""
        on = self._dispatcher.on
        self._dispatcher.on_hot("update_data", self.update_data)
        self._dispatcher.on_hot("update_telemetry", self.update_telemetry)
        on("ping", self.ping, inline=True)
        on("pong", self.pong, inline=True)
        on("command_result", self.command_result)
        self._dispatcher.on_cut_events(self.cut_short)

    # -- its events

    def update_data(self, peer: Peer, payload: Any, ack_id: int | None, text: str) -> None:
        """Put a device's samples into the ingest buffer, for events of every transport."""
        owned: OwnedSession | None = peer.device
        if owned is None or owned.lost or payload.__class__ is not dict:
            owned = self._owned_by(peer, payload)
        else:  # `_owned_by`, written out: this runs for every event
            named = payload.get("device_id")
            if named is not None and named != owned.session_id:
                raise errors.NotAllowed(OWN_ONLY)
            named = payload.get("session_id")
            if named is not None and named != owned.session_id:
                raise errors.NotAllowed(OWN_ONLY)
        now_s = self._clock.now_s()
        try:
            update = parse_update(payload, now_s, self._max_value_bytes, is_checked=False)
        except MayLose:
            check_integers(text)
            update = parse_update(payload, now_s, self._max_value_bytes)
        self._ingest.add(owned, update, ack_id)

    def update_telemetry(self, peer: Peer, payload: Any, ack_id: int | None, text: str) -> None:
        owned = self._owned_by(peer, payload)
        check_integers(text)
        update = parse_telemetry(payload, self._clock.now_s(), self._max_value_bytes)
        self._ingest.add(owned, update, ack_id)

    def is_own_setup(self, call: Call) -> bool:
        """Return whether an `update_setup` is a device's about itself, not a dashboard's about a device."""
        payload = call.payload
        owned: OwnedSession | None = call.peer.device
        if not isinstance(payload, dict) or call.peer.identity.role == permissions.DEVICE:
            return True
        named = payload.get("session_id", payload.get("device_id"))
        if owned is None:
            return named is None
        return named in (None, owned.session_id) and "patch" not in payload

    def update_setup(self, call: Call) -> dict[str, Any]:
        """Store a device's own new setup, or record the version it runs."""
        owned = self._owned(call)
        wanted = payloads.DeviceSetup.parse(call.payload)
        if wanted.reported_version is not None:
            version = wanted.reported_version
            if self._as_owner(
                owned,
                lambda: self._reports.reported(owned.session_id, owned.generation, version),
            ):
                owned.setup_version = version
            return {"reported_version": wanted.reported_version}
        state = self._as_owner(
            owned,
            lambda: self._setups.update_setup(
                owned.session_id,
                wanted.setup,
                version=wanted.version,
                generation=owned.generation,
            ),
        )
        owned.setup_version = state.version
        return {
            "setup_version": state.version,
            "undo_available": state.undo > 0,
            "redo_available": state.redo > 0,
        }

    def ping(self, call: Call) -> dict[str, Any]:
        payload = {} if call.payload is None else call.payload
        if not isinstance(payload, dict):
            raise errors.InvalidRequest("The payload should be an object.")
        check_depth(payload)
        if call.peer.dashboard is None or call.peer.device is not None:
            self._alive(self._owned(call))
        answer = {**payload, "server_time": round(self._clock.now_s(), 3)}
        self._dispatcher.emit(call.sid, "pong", answer)
        return {"server_time": answer["server_time"]}

    def pong(self, call: Call) -> None:
        self._alive(self._owned(call))

    def _alive(self, owned: OwnedSession) -> None:
        self._heard_of(owned, self._clock.now_ms())

    def command_result(self, call: Call) -> dict[str, Any]:
        owned = self._owned(call)
        wanted = payloads.CommandResult.parse(call.payload)
        ok, result, error = self._commands.read_ack([call.payload])
        change = self._as_owner(
            owned,
            lambda: self._commands.finish(owned, wanted.command_id, bool(ok), result, error),
        )
        if change is None:
            raise errors.CommandNotFound(command_id=wanted.command_id)
        return {"command_id": wanted.command_id, "status": change.status}

    def cut_short(self, peer: Peer, start: str, error: errors.ServiceError) -> None:
        """End the command whose result is too long to be read: its device would send it again for ever."""
        owned: OwnedSession | None = peer.device
        found = _LONG_RESULT.match(start)
        if owned is not None and not owned.lost and found is not None:
            self._commands.lose(owned, found[1], error)

    def _as_owner(self, owned: OwnedSession, act: Callable[[], Answer]) -> Answer:
        """Do something as the owner; once more after a reclaim where Redis refuses that: it may have lost the register.

        The device would not say it again on this connection.
        """
        try:
            return act()
        except (errors.StaleGeneration, errors.SessionNotFound):
            self._reclaim(owned.partition, [owned])
            check_held(owned)
            return act()

    def _owned(self, call: Call) -> OwnedSession:
        """Return the session this socket is registered as.

        Raises:
            NotRegistered, StaleGeneration, SessionNotFound
            NotAllowed: the payload names another session.
        """
        return self._owned_by(call.peer, call.payload)

    def _owned_by(self, peer: Peer, payload: Any) -> OwnedSession:
        owned: OwnedSession | None = peer.device
        if owned is None:
            raise errors.NotRegistered
        if owned.lost:
            check_held(owned)
        if payload.__class__ is dict:
            for field in ("session_id", "device_id"):
                if payload.get(field) not in (None, owned.session_id):
                    raise errors.NotAllowed(OWN_ONLY)
        return owned
