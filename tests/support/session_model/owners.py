"""Who owns a session: registers, disconnects, leases that end, reclaims, deletes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, multiple, precondition, rule

from service.sessions.model import FINAL_STATUSES, Holding, Owner
from tests.support.session_model.model import IDS, NODES, OF_OWNER, SOCKETS, Model, Session, Socket


class Owners(Model):
    @initialize(target=SOCKETS)
    def nodes_start(self) -> Any:
        for node_id in NODES:
            self.store.ownership.renew(node_id)
        self.store.ownership.expire(0)
        return multiple(*(self.register(one, NODES[0]) for one in IDS))

    @rule(target=SOCKETS, session_id=st.sampled_from(IDS), node_id=st.sampled_from(NODES))
    def register(self, session_id: str, node_id: str) -> Socket:
        sid = f"{node_id[2:]}.{self.next()}"
        known = self.sessions.get(session_id)
        answer = self.archiver.register(session_id, node_id=node_id, sid=sid)
        assert answer.resumed == (known is not None)
        assert answer.restored == (known is not None and known.archived)
        self._note_register(session_id, known)
        before = known.generation if known else self.deleted.get(session_id, 0)
        assert answer.generation > before
        old = known.owner if known else None
        assert answer.superseded == (Owner(old.node_id, old.sid) if old else None)
        socket = Socket(session_id, node_id, sid, answer.generation)
        session = known or Session(None, 0)
        assert answer.last_seq == session.last_seq
        assert answer.setup_version == session.version
        open_ones = [s for s in session.commands.values() if s in ("queued", "sent")]
        assert answer.undelivered == len(open_ones)
        session.owner, session.generation, session.archived = socket, answer.generation, False
        self.sessions[session_id] = session
        return socket

    def _note_register(self, session_id: str, known: Session | None) -> None:
        if known is None:
            self.note("register: " + ("after a delete" if session_id in self.deleted else "new"))
        elif known.archived:
            self.note("register: restored")
            self.note(f"register: restored {'with' if self.is_indexed else 'without'} the index")
        else:
            self.note("register: " + ("takeover" if known.owner else "back"))

    @precondition(lambda self: any(one.owner for one in self.sessions.values()))
    @rule(data=st.data())
    def register_again(self, data: st.DataObject) -> None:
        owners = [self.sessions[one].owner for one in IDS if one in self.sessions]
        self.again(data.draw(st.sampled_from([one for one in owners if one])))

    def again(self, socket: Socket) -> None:
        """Only the present owner's socket may still do that: the others were disconnected."""
        answer = self.store.ownership.register(
            socket.session_id, node_id=socket.node_id, sid=socket.sid, session_name="again"
        )
        assert (answer.same, answer.generation) == (True, socket.generation)

    @rule(socket=SOCKETS, of_owner=OF_OWNER)
    def disconnect(self, socket: Socket, of_owner: bool) -> None:
        """Of the owner: accepted. Of any other, however late: nothing changes."""
        socket = self.turn_to(socket, of_owner)
        session = self.sessions.get(socket.session_id)
        gone = (socket.session_id, socket.sid, socket.generation)
        word = self.store.ownership.disconnect(0, socket.node_id, [gone], "test")[0]
        self.note(f"disconnect: {word}")
        if session is None or session.archived:
            assert word == "missing"
        elif session.owner == socket:
            assert word == "ok"
            session.owner = None
        else:
            assert word == "stale"

    @rule(node_id=st.sampled_from(NODES))
    def renew(self, node_id: str) -> None:
        self.store.ownership.renew(node_id)

    @rule(node_id=st.sampled_from(NODES))
    def lease_ends_and_expire_runs(self, node_id: str) -> None:
        """The node was paused for longer than its lease; the other one runs `expire`."""
        now = self.store.now_ms()
        for other in NODES:
            self.store.ownership.renew(other)
        self.client.zadd(self.store.keys.leases(0), {node_id: now - 1})
        self.client.hset(
            self.store.keys.epoch(0), mapping={"expired_at": now, "grace_until": now - 1}
        )
        expiry = self.store.ownership.expire(0)
        assert expiry.word == "ok"
        held = [s for s in self.sessions.values() if s.owner and s.owner.node_id == node_id]
        assert expiry.sessions == len(held)
        self.note("lease: " + ("sessions let go" if held else "nothing held"))
        for session in held:
            session.owner = None
        for session in self.sessions.values():
            gone = {one for one in session.people if one.startswith(f"{node_id}#")}
            session.people -= gone
            if gone:
                self.note("people: let go")
        assert self.store.ownership.expire(0).sessions == 0
        assert self.store.ownership.renew(node_id)[0].held is False

    @rule(socket=SOCKETS, of_owner=OF_OWNER)
    def reclaim(self, socket: Socket, of_owner: bool) -> None:
        """A node gets back what nobody newer took and nobody deleted."""
        socket = self.turn_to(socket, of_owner)
        session_id = socket.session_id
        session = self.sessions.get(session_id)
        held = Holding(session_id, socket.sid, socket.generation, 0, "", "", "", "", 0, 1)
        word, took = self.archiver.reclaim(0, socket.node_id, [held])[0]
        self.note(f"reclaim: {word}")
        if session is not None and session.archived:
            # Of one that was deleted meanwhile nobody looks for what came after it, where no index
            # tells of that; whoever else asks finds it there.
            session.archived = word == "deleted" and self.store.index.get(session_id) is None
            if not session.archived:
                self.note("reclaim: restored")
        assert took is None
        if self.deleted.get(session_id, -1) >= socket.generation:
            assert word == "deleted"
        elif session is not None and session.generation > socket.generation:
            assert word == "superseded"
        else:
            assert word == "ok"
            assert session is not None
            assert session.generation == socket.generation
            session.owner = socket

    @rule(session_id=st.sampled_from(IDS))
    def delete(self, session_id: str) -> None:
        session = self.sessions.pop(session_id, None)
        answer = self.archiver.delete(session_id)
        if session is None:
            self.note("delete: unknown")
            assert answer is None
            return
        state = "archived" if session.archived else "active" if session.owner else "inactive"
        self.note(f"delete: {state}")
        assert answer is not None
        assert answer.generation == session.generation
        ended = {change.command_id: change.status for change in answer.commands}
        left = [c for c, status in session.commands.items() if status not in FINAL_STATUSES]
        assert ended == dict.fromkeys(left, "cancelled")
        if left:
            self.note("delete: open commands")
        self.deleted[session_id] = session.generation
