"""All that can happen to sessions, in any order, and what has to happen at least once."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.support.session_model.archiving import Archiving
from tests.support.session_model.commands import FATES, Commands
from tests.support.session_model.contents import Contents
from tests.support.session_model.model import IDS, NODES, SOCKETS, Socket
from tests.support.session_model.owners import Owners
from tests.support.session_model.people import People

#: What has to happen, each at least once, by subject.
BRANCHES = {
    "register": {
        *("new", "after a delete", "back", "takeover", "restored"),
        *("restored with the index", "restored without the index"),
    },
    "disconnect": {"ok", "stale", "missing"},
    "reclaim": {"ok", "superseded", "deleted", "restored"},
    "lease": {"sessions let go", "nothing held"},
    "delete": {"active", "inactive", "archived", "unknown", "open commands"},
    "append": {"ok", "missing", "stale", "conflict", "repeated"},
    "setup": {"put", "missing", "wrong version", "undo", "redo", "no step"},
    "command": {
        *("added", "missing", "too many", "taken", "sent again"),
        *("deliver", "ok", "fail", "cancel", "late", "stale", "expired", "timed_out"),
    },
    "people": {"joined", "left", "let go", "missing"},
    "archive": {"archived", "active", "busy", "missing"},
    "stalled archiver": {"archived", "too late"},
    "restore": {"done", "unknown"},
    "index": {"lost", "made again"},
}


class SessionMachine(Owners, Contents, Commands, People, Archiving):
    """Drives whole lives too: an order of events proves nothing about what it never gets to."""

    @rule(
        target=SOCKETS,
        session_id=st.sampled_from(IDS),
        node_id=st.sampled_from(NODES),
        fates=st.lists(st.sampled_from(FATES), min_size=3, max_size=3),
        stalls=st.sampled_from(["", "in time", "too late"]),
        end=st.sampled_from(["archived", "register", "restore", "reclaim", "deleted", "takeover"]),
    )
    def whole_life(
        self, session_id: str, node_id: str, fates: list[str], stalls: str, end: str
    ) -> Socket:
        """It comes, sends, is edited, has commands, leaves, is archived, and comes back by any road."""
        socket = self.register(session_id, node_id)
        self.append(socket, [("x", 1), ("y", 2)], 0, of_owner=True)
        self.put_setup(session_id, 7, wrong=False)
        self.step_setup(session_id, back=True)
        self.step_setup(session_id, back=False)
        for _ in [*fates, "too many"]:
            self.command_add(session_id)
        self.command_take(socket, of_owner=True)
        if end == "takeover":
            former, socket = socket, self.register(session_id, node_id)
            self.command_take(socket, of_owner=True)
            self.append(former, [("x", 3)], None, of_owner=False)
        for command_id, fate in zip(self.sessions[session_id].commands, fates, strict=False):
            self.answer(socket, command_id, fate)
        self.agree()
        if end == "deleted":
            self.delete(session_id)
            return socket
        self.disconnect(socket, of_owner=True)
        self.join(session_id, node_id)
        self.archive([session_id])
        self.all_go(session_id)
        if self._archive_word(session_id) == "busy":
            self.archive([session_id])
        self.deadlines_pass(session_id)
        self.agree()
        if stalls:
            self.archiver_stands_still_before_its_commit(session_id)
            if stalls == "too late":
                self.archive([session_id])
            self.go_on(-1)
        else:
            self.archive([session_id])
        assert self.sessions[session_id].archived
        self.agree()
        if end == "restore":
            self.restore(session_id)
        elif end == "reclaim":
            self.reclaim(socket, of_owner=False)
        elif end == "register":
            return self.register(session_id, node_id)
        return socket
