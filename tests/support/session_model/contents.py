"""What a session holds: samples and setups."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from service import errors
from tests.support.nodes.stores import part
from tests.support.session_model.model import IDS, KEEP, OF_OWNER, SOCKETS, Model, Socket


class Contents(Model):
    # -- samples --

    @rule(
        socket=SOCKETS,
        values=st.lists(
            st.tuples(st.sampled_from("xy"), st.integers(0, 9)), min_size=1, max_size=6
        ),
        skip=st.sampled_from([None, 0, 0, 0, 1, -1]),
        of_owner=OF_OWNER,
    )
    def append(
        self, socket: Socket, values: list[tuple[str, int]], skip: int | None, of_owner: bool
    ) -> None:
        """`skip`: None without seq, 0 the next seq, 1 a gap, -1 one that was there."""
        socket = self.turn_to(socket, of_owner)
        session = self.sessions.get(socket.session_id)
        seq = None
        if skip is not None:
            first = (session.last_seq if session else 0) + 1 + skip
            seq = (first, first + len(values) - 1)
        number = self.numbers[socket.node_id] = self.numbers[socket.node_id] + 1
        batch = [part(socket.session_id, socket.generation, *values, seq=seq)]
        answers = self.store.samples.append(0, socket.node_id, number, batch)
        self.last_batch[socket.node_id] = (number, batch, answers)
        self.note(f"append: {answers[0].word}")
        if session is None or session.archived:
            assert answers[0].word == "missing"
        elif session.generation != socket.generation:
            assert answers[0].word == "stale"
        elif skip:
            assert (answers[0].word, answers[0].value) == ("conflict", session.last_seq)
        else:
            assert answers[0].word == "ok"
            for key, value in values:
                session.data[key] = [*session.data.get(key, []), value][-KEEP:]
            if seq:
                session.last_seq = seq[1]

    @precondition(lambda self: self.last_batch)
    @rule(data=st.data())
    def repeat_flush(self, data: st.DataObject) -> None:
        self.repeat(data.draw(st.sampled_from(sorted(self.last_batch))))

    def repeat(self, node_id: str) -> None:
        """The reply was lost: the same batch under the same number changes nothing."""
        number, batch, answers = self.last_batch[node_id]
        assert self.store.samples.append(0, node_id, number, batch) == answers
        self.note("append: repeated")

    # -- setups --

    @rule(
        session_id=st.sampled_from(IDS), setup=st.integers(-(2**63), 2**63 - 1), wrong=st.booleans()
    )
    def put_setup(self, session_id: str, setup: int, wrong: bool) -> None:
        session = self.sessions.get(session_id)
        expected = (session.version if session else 0) + (1 if wrong else 0)
        document = str(setup).encode()
        if session is None or session.archived:
            self.note("setup: missing")
            with pytest.raises(errors.SessionNotFound):
                self.store.setups.put(session_id, document, expected_version=expected)
        elif wrong:
            self.note("setup: wrong version")
            with pytest.raises(errors.PreconditionFailed):
                self.store.setups.put(session_id, document, expected_version=expected)
        else:
            self.note("setup: put")
            self.store.setups.put(session_id, document, expected_version=expected)
            session.undo.append(session.setup)
            session.redo.clear()
            session.setup, session.version = setup, session.version + 1

    @rule(session_id=st.sampled_from(IDS), back=st.booleans())
    def step_setup(self, session_id: str, back: bool) -> None:
        session = self.sessions.get(session_id)
        step = self.store.setups.undo if back else self.store.setups.redo
        source, target = ("undo", "redo") if back else ("redo", "undo")
        if session is None or session.archived:
            with pytest.raises(errors.SessionNotFound):
                step(session_id)
        elif not getattr(session, source):
            self.note("setup: no step")
            with pytest.raises(errors.Conflict):
                step(session_id)
        else:
            self.note(f"setup: {source}")
            step(session_id)
            getattr(session, target).append(session.setup)
            session.setup, session.version = getattr(session, source).pop(), session.version + 1
