"""Commands of a session: added, taken, answered, timed out."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from service import errors
from service.sessions.model import FINAL_STATUSES, NewCommand
from tests.support.session_model.model import IDS, NODES, OF_OWNER, SOCKETS, Model, Socket

#: What may become of a command; "stale": somebody answers who is not the owner.
FATES = ("deliver", "ok", "fail", "cancel", "stale")


class Commands(Model):
    @rule(session_id=st.sampled_from(IDS))
    def command_add(self, session_id: str) -> None:
        session = self.sessions.get(session_id)
        command_id = f"{self.next():032x}"
        command = NewCommand(command_id, "go", "null", 60_000)
        if session is None or session.archived:
            self.note("command: missing")
            with pytest.raises(errors.SessionNotFound):
                self.store.commands.add(session_id, command)
        elif len([s for s in session.commands.values() if s not in FINAL_STATUSES]) == 3:
            self.note("command: too many")
            with pytest.raises(errors.Overloaded):
                self.store.commands.add(session_id, command)
        else:
            self.note("command: added")
            self.store.commands.add(session_id, command)
            session.commands[command_id] = "queued"

    @rule(socket=SOCKETS, of_owner=OF_OWNER)
    def command_take(self, socket: Socket, of_owner: bool) -> None:
        """The owner is sent, in order, what its connection was not sent; nobody else anything."""
        socket = self.turn_to(socket, of_owner)
        session = self.sessions.get(socket.session_id)
        taken = self.store.commands.take(socket.session_id, socket.generation)
        ids = [t.change.command_id for t in taken]
        if session is None or session.owner != socket:
            assert ids == []
            return
        undelivered = [c for c, s in session.commands.items() if s in ("queued", "sent")]
        assert ids == undelivered
        for command_id in ids:
            again = session.commands[command_id] == "sent"
            self.note("command: " + ("sent again" if again else "taken"))
            session.commands[command_id] = "sent"

    @precondition(lambda self: any(one.commands for one in self._present()))
    @rule(data=st.data(), step=st.sampled_from(FATES))
    def command_step(self, data: st.DataObject, step: str) -> None:
        present = self._present()
        asked = [i for i in IDS if (one := self.sessions.get(i)) in present and one.commands]
        session_id = data.draw(st.sampled_from(asked))
        session = self.sessions[session_id]
        command_id = data.draw(st.sampled_from(sorted(session.commands)))
        self.answer(Socket(session_id, "", "", session.generation), command_id, step)

    def answer(self, socket: Socket, command_id: str, step: str) -> None:
        session = self.sessions[socket.session_id]
        before = session.commands[command_id]
        args = (socket.session_id, socket.generation, command_id)
        if step == "stale":
            self.note("command: stale")
            former = (socket.session_id, socket.generation - 1, command_id)
            with pytest.raises(errors.StaleGeneration):
                self.store.commands.delivered(*former)
            with pytest.raises(errors.StaleGeneration):
                self.store.commands.finish(*former, ok=True)
            return
        if step == "cancel":
            change = self.store.commands.cancel(socket.session_id, command_id)
        elif step == "deliver":
            change = self.store.commands.delivered(*args)
        else:
            change = self.store.commands.finish(*args, ok=step == "ok")
        assert change is not None
        after = {"deliver": "delivered", "ok": "succeeded", "fail": "failed", "cancel": "cancelled"}
        late = before in FINAL_STATUSES or (step == "deliver" and before == "delivered")
        self.note("command: " + ("late" if late else step))
        session.commands[command_id] = before if late else after[step]
        assert (change.status, change.changed) == (session.commands[command_id], not late)

    @rule(session_id=st.sampled_from(IDS))
    def deadlines_pass(self, session_id: str) -> None:
        """All open commands of a session are past their deadline; `expire` runs, twice."""
        session = self.sessions.get(session_id)
        due = self.store.keys.commands_due(0)
        for member in self.client.zrange(due, 0, -1):
            if member.split(":", 1)[1] == session_id:
                self.client.zadd(due, {member: 1})
        for node_id in NODES:
            self.store.ownership.renew(node_id)
        changes = {c.command_id: c.status for c in self.store.ownership.expire(0).commands}
        assert self.store.ownership.expire(0).commands == []
        expected = {}
        for command_id, status in (session.commands if session else {}).items():
            if status not in FINAL_STATUSES:
                expected[command_id] = "timed_out" if status == "delivered" else "expired"
        assert changes == expected
        for status in expected.values():
            self.note(f"command: {status}")
        if session:
            session.commands |= expected
