"""People who look at a session: they keep it in Redis, and go with the node that they were connected to."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from service import errors
from tests.support.session_model.model import IDS, NODES, Model


class People(Model):
    @rule(session_id=st.sampled_from(IDS), node_id=st.sampled_from(NODES))
    def join(self, session_id: str, node_id: str) -> None:
        session = self.sessions.get(session_id)
        sid = f"{node_id[2:]}.person-{self.next()}"
        if session is None or session.archived:
            self.note("people: missing")
            with pytest.raises(errors.SessionNotFound):
                self.store.ownership.join(session_id, node_id, sid)
            return
        self.note("people: joined")
        session.people.add(f"{node_id}#{sid}")
        for _ in ("once", "again after a lost reply"):
            count = self.store.ownership.join(session_id, node_id, sid)
            assert count == len(session.people)

    @precondition(lambda self: any(one.people for one in self._present()))
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        present = [i for i in IDS if (one := self.sessions.get(i)) and one.people]
        session_id = data.draw(st.sampled_from(present))
        self.go(session_id, data.draw(st.sampled_from(sorted(self.sessions[session_id].people))))

    def go(self, session_id: str, person: str) -> None:
        self.note("people: left")
        people = self.sessions[session_id].people
        people.remove(person)
        for _ in ("once", "again after a lost reply"):
            assert self.store.ownership.leave(session_id, *person.split("#")) == len(people)

    def all_go(self, session_id: str) -> None:
        for person in sorted(self.sessions[session_id].people):
            self.go(session_id, person)
