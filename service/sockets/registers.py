"""Registers: how a socket becomes a device, and how it stops being one.

A register carries when its socket was accepted and when the call was sent, in Redis time, so that the past
of a device that has connected again, here or on another node, supersedes nothing (lua/ownership/register.lua). One
that had no answer leaves open whether the socket is an owner: `withdraw` settles that when the socket ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Protocol

from service import errors
from service.clock import StampingClock
from service.live.commands.delivery import CommandDelivery
from service.live.ownership.claims import PendingDisconnects
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.observability.metrics import Metrics
from service.security.permissions import Identity
from service.sessions.model import Accepted, Registration
from service.sockets.dispatch import LATER, Call, Dispatcher, Later, Peer
from service.sockets.events import payloads
from service.sockets.postponed import Postponed, PostponedRegisters
from service.sockets.takeovers import Takeovers
from service.tasks import Tasks
from service.transport.connection import GOODBYE_REASONS

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
        accepted: Accepted | None = None,
    ) -> Registration: ...


class SessionScope(Protocol):
    """Which sessions a token lets a device be."""

    def registration(
        self, identity: Identity, session_id: str, project_id: str | None
    ) -> str | None: ...


class Quota(Protocol):
    """How many sessions a token may have."""

    def may_register(self, peer: Peer, session_id: str) -> None: ...


class Registers:
    """Handler of `register`, and what follows when a socket that sent it ends.

    Args:
        session_scope, quota: asked before a register.
        on_device: called with every socket that becomes a device.
        refusal: returns the error for new registers while this node accepts none, else None.
        partition_of: the partition of a session id.
        measure: compares the clock with Redis's, in a round trip.
    """

    def __init__(
        self,
        *,
        registrar: Registrar,
        sessions: OwnedSessions,
        disconnects: PendingDisconnects,
        commands: CommandDelivery,
        takeovers: Takeovers,
        dispatcher: Dispatcher,
        tasks: Tasks,
        clock: StampingClock,
        measure: Callable[[], object],
        metrics: Metrics,
        node_id: str,
        partition_of: Callable[[str], int],
        session_scope: SessionScope,
        quota: Quota,
        on_device: Callable[[OwnedSession], None],
        refusal: Callable[[], errors.ServiceError | None],
    ) -> None:
        self._registrar = registrar
        self._sessions = sessions
        self._disconnects = disconnects
        self._commands = commands
        self._takeovers = takeovers
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._clock = clock
        self._measure = measure
        self._metrics = metrics
        self._node_id = node_id
        self._partition_of = partition_of
        self._session_scope = session_scope
        self._quota = quota
        self._on_device = on_device
        self._refusal = refusal
        self._postponed = PostponedRegisters(tasks, self._repeat)
        #: Sockets whose register had no answer: Redis may count them as owners.
        self._uncertain: dict[str, str] = {}

    def listen(self) -> None:
        """Register the handler, and what is done when sockets come and go."""
        self._dispatcher.on_connect(self._accept)
        self._dispatcher.on("register", self.register)
        self._dispatcher.on_disconnect(self.left)

    def _accept(self, peer: Peer) -> None:
        peer.accepted = self._clock.stamp()

    def register(self, call: Call) -> Later:
        try:
            self._register(call)
        except errors.ServiceError as error:
            if call.peer.device is None:
                self._postponed.add(call.peer, call.payload, error)
            raise
        call.peer.postponed = None
        return LATER

    def _repeat(self, one: Postponed) -> None:
        """Register a socket that was refused for now, unless it has done so itself by then."""

        def again(call: Call) -> None:
            if call.peer.postponed is not one:
                return
            try:
                self.register(call)
            except errors.ServiceError as error:
                if not error.retryable:  # else it is repeated, and the first refusal said so
                    raise

        call = Call(self._dispatcher, one.peer, "register", one.payload, None)
        self._dispatcher.run_in_turn(one.peer, again, call)

    def _register(self, call: Call) -> None:
        wanted = payloads.Register.parse(call.payload)
        peer = call.peer
        owned: OwnedSession | None = peer.device
        # a token for one id needs no id; with one for a prefix the id must be given
        known_id = wanted.session_id or (owned.session_id if owned else peer.identity.device)
        session_id = known_id or str(uuid.uuid4())
        if owned is not None:
            if owned.session_id != session_id:
                raise errors.Conflict("This socket is registered with another id.")
            check_held(owned)
            self._settle(owned)
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        project_id = self._session_scope.registration(peer.identity, session_id, wanted.project_id)
        self._quota.may_register(peer, session_id)
        accepted = self._accepted(peer)
        registration = self._ask(peer, session_id, project_id, wanted, accepted)
        owned = self._hold(peer, owned, registration, wanted)
        owned.accepted_ms = accepted.earliest_ms
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
        call.reply(answer)
        self._follow_up(owned, answer, registration)

    def _ask(
        self,
        peer: Peer,
        session_id: str,
        project_id: str | None,
        wanted: payloads.Register,
        accepted: Accepted,
    ) -> Registration:
        def ask() -> Registration:
            return self._registrar.register(
                session_id,
                node_id=self._node_id,
                sid=peer.sid,
                session_name=wanted.session_name,
                project_id=project_id,
                meta=wanted.meta,
                stream=wanted.stream,
                accepted=accepted,
            )

        self._uncertain[peer.sid] = session_id
        try:
            try:
                registration = ask()
            except errors.LateCall:  # Redis's clock jumped, or the node was paused
                self._measure()
                registration = ask()
        except errors.StoreUnavailable:
            raise
        except errors.ServiceError as error:
            del self._uncertain[peer.sid]
            if isinstance(error, errors.Flapping):
                self._metrics.flapping.add()
            elif isinstance(error, errors.StaleGeneration):
                self._takeovers.refuse(peer, session_id, error.fields.pop("generation", 0))
            raise
        del self._uncertain[peer.sid]
        return registration

    def _accepted(self, peer: Peer) -> Accepted:
        def send_ms() -> int:
            if peer.closed and peer.reason not in GOODBYE_REASONS:
                raise errors.StaleGeneration("This socket is closed.", generation=0)
            return self._clock.now_ms()

        return Accepted(*self._clock.bounds_ms(peer.accepted), send_ms)

    def _settle(self, owned: OwnedSession) -> None:
        """Wait until Redis has what the socket sent before, which carries the present generation."""
        left_s = SETTLE_S
        while owned.waiting and left_s > 0:
            self._tasks.sleep(0.01)
            left_s -= 0.01
        if owned.waiting:
            raise errors.StoreUnavailable
        check_held(owned)

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
            owned.by = peer.actor
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
        owned.setup_version = registration.setup_version
        self._sessions.add(owned)
        return owned

    def _follow_up(
        self, owned: OwnedSession, answer: dict[str, Any], registration: Registration
    ) -> None:
        """Do what comes after the ack: the event, the former owner's notice, waiting commands.

        Nothing of it blocks. A command that came between Redis' answer and the moment this node held the
        session is in neither; the next renewal reports it.
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
            self._disconnects.withdraw(session_id, peer.sid, peer.actor)
        owned: OwnedSession | None = peer.device
        if owned is not None:
            self._disconnects.add(owned, reason)
            if self._sessions.of(owned.session_id) is None:
                self._commands.forget(owned.session_id)


def check_held(owned: OwnedSession) -> None:
    """Raise what a claim that is over is answered with."""
    if owned.lost == "deleted":
        raise errors.SessionNotFound("The session was deleted.")
    if owned.lost:
        raise errors.StaleGeneration
