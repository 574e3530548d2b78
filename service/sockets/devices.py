"""Events of devices: register, data, setup, signs of life, answers to commands.

A socket becomes a device by `register` and stays that device until it ends. All its events act on its own
session, carry the generation it was given, and are refused once another connection owns the session.
`update_data` goes from the frame to the ingest buffer without a task and is acked when Redis has it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from service import errors
from service.clock import Clock
from service.live.commands.delivery import CommandDelivery
from service.live.ingest.ingest import Ingest
from service.live.ownership.claims import PendingDisconnects
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.observability.metrics import Metrics
from service.schema.samples import parse_telemetry, parse_update
from service.schema.values import check_depth
from service.security import permissions
from service.security.permissions import Identity
from service.sessions.model import Registration, SetupState
from service.sockets import payloads
from service.sockets.dispatch import Call, Dispatcher, Peer
from service.sockets.takeovers import Takeovers
from service.tasks import Tasks

log = logging.getLogger(__name__)

OWN_ONLY = "A device acts on its own session only."
#: How long a repeated register waits for what the socket sent before.
SETTLE_S = 5.0


class Registrar(Protocol):
    """Makes a socket the owner of a session, which may be restored from the archive for it."""

    def register(
        self,
        session_id: str,
        *,
        node_id: str,
        sid: str,
        session_name: str | None = None,
        project_id: str | None = None,
        meta: dict[str, Any] | None = None,
        stream: str = "",
    ) -> Registration: ...


class SetupReports(Protocol):
    """Where the versions are kept that devices run."""

    def reported(self, session_id: str, generation: int, version: int) -> None: ...


class SessionScope(Protocol):
    """Which sessions a token lets a device be."""

    def registration(
        self, identity: Identity, session_id: str, project_id: str | None
    ) -> str | None: ...


class Quota(Protocol):
    """How many sessions a token may have."""

    def may_register(self, peer: Peer) -> None: ...


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
    """Handlers of the devices' events.

    Args:
        session_scope, quota: asked before a register.
        on_device: called with every socket that becomes a device.
        refusal: returns the error for new registers while this node accepts none, else None.
        partition_of: the partition of a session id.
    """

    def __init__(
        self,
        *,
        registrar: Registrar,
        reports: SetupReports,
        setups: Setups,
        sessions: OwnedSessions,
        ingest: Ingest,
        disconnects: PendingDisconnects,
        commands: CommandDelivery,
        takeovers: Takeovers,
        dispatcher: Dispatcher,
        tasks: Tasks,
        clock: Clock,
        metrics: Metrics,
        node_id: str,
        partition_of: Callable[[str], int],
        max_value_bytes: int,
        session_scope: SessionScope,
        quota: Quota,
        on_device: Callable[[OwnedSession], None],
        refusal: Callable[[], errors.ServiceError | None],
    ) -> None:
        self._registrar = registrar
        self._reports = reports
        self._setups = setups
        self._sessions = sessions
        self._ingest = ingest
        self._disconnects = disconnects
        self._commands = commands
        self._takeovers = takeovers
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._clock = clock
        self._metrics = metrics
        self._node_id = node_id
        self._partition_of = partition_of
        self._max_value_bytes = max_value_bytes
        self._session_scope = session_scope
        self._quota = quota
        self._on_device = on_device
        self._refusal = refusal
        #: Sockets whose register had no answer: Redis may count them as owners.
        self._uncertain: dict[str, str] = {}

    def listen(self) -> None:
        """Register the handlers of devices' events. See `update_setup`, which dashboards send too."""
        on = self._dispatcher.on
        on("register", self.register)
        self._dispatcher.on_hot("update_data", self.update_data)
        self._dispatcher.on_hot("update_telemetry", self.update_telemetry)
        on("ping", self.ping, inline=True)
        on("pong", self.pong, inline=True)
        on("command_result", self.command_result)
        self._dispatcher.on_disconnect(self.left)

    # -- registering

    def register(self, call: Call) -> dict[str, Any]:
        wanted = payloads.Register.parse(call.payload)
        peer = call.peer
        owned: OwnedSession | None = peer.device
        # a token for one id needs no id; with one for a prefix the id must be given
        own_id = owned.session_id if owned else peer.identity.device or str(uuid.uuid4())
        session_id = wanted.session_id or own_id
        if owned is not None:
            if owned.session_id != session_id:
                raise errors.Conflict("This socket is registered with another id.")
            self._check_held(owned)
            self._settle(owned)
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        project_id = self._session_scope.registration(peer.identity, session_id, wanted.project_id)
        self._quota.may_register(peer)
        try:
            registration = self._registrar.register(
                session_id,
                node_id=self._node_id,
                sid=peer.sid,
                session_name=wanted.session_name,
                project_id=project_id,
                meta=wanted.meta,
                stream=wanted.stream,
            )
        except errors.StoreUnavailable:
            self._uncertain[peer.sid] = session_id
            raise
        except errors.Flapping:
            self._metrics.flapping.add()
            raise
        self._uncertain.pop(peer.sid, None)
        owned = self._hold(peer, owned, registration, wanted)
        if registration.superseded is not None:
            self._metrics.takeovers.add()
        answer = {
            "session_id": session_id,
            "generation": registration.generation,
            "resumed": registration.resumed,
            "restored": registration.restored,
            "rev": registration.rev,
            "last_seq": owned.last_seq,
            "setup": registration.setup,
            "setup_version": registration.setup_version,
            "server_time": registration.server_time_ms / 1000,
        }
        self._tasks.spawn(self._follow_up, owned, answer, registration)
        return answer

    def _settle(self, owned: OwnedSession) -> None:
        """Wait until Redis has what the socket sent before, which carries the present generation."""
        left_s = SETTLE_S
        while owned.waiting and left_s > 0:
            self._tasks.sleep(0.01)
            left_s -= 0.01
        if owned.waiting:
            raise errors.StoreUnavailable
        self._check_held(owned)

    def _hold(
        self,
        peer: Peer,
        owned: OwnedSession | None,
        registration: Registration,
        wanted: payloads.Register,
    ) -> OwnedSession:
        if owned is None:
            owned = OwnedSession(
                registration.session_id,
                peer.sid,
                self._partition_of(registration.session_id),
                registration.generation,
            )
            peer.device = owned
            self._on_device(owned)
        owned.generation = registration.generation
        owned.rev = registration.rev
        owned.stream = wanted.stream
        owned.last_seq = owned.accepted_seq = registration.last_seq
        owned.session_name = registration.session_name
        owned.project_id = registration.project_id
        owned.created_ms = registration.created_ms
        owned.meta = registration.meta
        self._sessions.add(owned)
        return owned

    def _follow_up(
        self, owned: OwnedSession, answer: dict[str, Any], registration: Registration
    ) -> None:
        """Do what comes after the ack: the event, the former owner's notice, waiting commands.

        A command that came between Redis' answer and the moment this node held the session is in
        neither; the next renewal reports it.
        """
        self._dispatcher.emit(owned.sid, "registered", answer)
        superseded = registration.superseded
        if superseded is not None and superseded.sid != owned.sid:
            self._takeovers.supersede(superseded, owned.session_id, answer["generation"])
        if registration.undelivered and not owned.lost:
            self._commands.deliver(owned.session_id)

    def left(self, peer: Peer, reason: str) -> None:
        """Give up the session of a socket that is gone."""
        session_id = self._uncertain.pop(peer.sid, None)
        if session_id is not None:
            self._disconnects.probe(session_id, peer.sid, self._partition_of(session_id))
        owned: OwnedSession | None = peer.device
        if owned is not None:
            self._disconnects.add(owned, reason)
            if self._sessions.of(owned.session_id) is None:
                self._commands.forget(owned.session_id)

    # -- its events

    def update_data(self, peer: Peer, payload: Any, ack_id: int | None) -> None:
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
        update = parse_update(payload, self._clock.now_s(), self._max_value_bytes)
        self._ingest.add(owned, update, ack_id)

    def update_telemetry(self, peer: Peer, payload: Any, ack_id: int | None) -> None:
        owned = self._owned_by(peer, payload)
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
            self._reports.reported(owned.session_id, owned.generation, wanted.reported_version)
            return {"reported_version": wanted.reported_version}
        state = self._setups.update_setup(
            owned.session_id,
            wanted.setup,
            version=wanted.version,
            generation=owned.generation,
        )
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
        owned.last_ping_ms = self._clock.now_ms()
        owned.ping_changed = True

    def command_result(self, call: Call) -> dict[str, Any]:
        owned = self._owned(call)
        wanted = payloads.CommandResult.parse(call.payload)
        ok, result, error = self._commands.read_ack([call.payload])
        change = self._commands.finish(owned, wanted.command_id, bool(ok), result, error)
        if change is None:
            raise errors.CommandNotFound(command_id=wanted.command_id)
        return {"command_id": wanted.command_id, "status": change.status}

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
            self._check_held(owned)
        if payload.__class__ is dict:
            for field in ("session_id", "device_id"):
                if payload.get(field) not in (None, owned.session_id):
                    raise errors.NotAllowed(OWN_ONLY)
        return owned

    @staticmethod
    def _check_held(owned: OwnedSession) -> None:
        if owned.lost == "deleted":
            raise errors.SessionNotFound("The session was deleted.")
        if owned.lost:
            raise errors.StaleGeneration
