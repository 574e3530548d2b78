"""A session leaves Redis and comes back, also beside archivers that stand still before their commit."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from service.archive import walk
from service.archiving.archiver import Archived, Archiver
from service.sessions.store.archive_index import Commit, IndexEntry
from tests.support.session_model.model import IDS, Model


class Archiving(Model):
    @rule(ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True))
    def archive(self, ids: list[str]) -> None:
        """What is inactive and has no open command leaves Redis; the rest stays."""
        words = {one.session_id: one.word for one in self.archiver.archive_sessions(ids)}
        for session_id in ids:
            assert words[session_id] == self._archive_word(session_id)
            self.note(f"archive: {words[session_id]}")
            if words[session_id] == "archived":
                self.sessions[session_id].archived = True
                self.sessions[session_id].rev += 1

    @rule(session_id=st.sampled_from(IDS))
    def archiver_stands_still_before_its_commit(self, session_id: str) -> None:
        """Its file is on disk; it may go on at any later time."""

        class Stalling(Archiver):
            def _commit(self, commits: Sequence[Commit], results: list[Archived]) -> None:
                stalled.extend(commits)

        stalled: list[Commit] = []
        Stalling(self.store, self.archiver.archive).archive_sessions([session_id])
        if stalled:
            self.stalled.append(stalled)

    @precondition(lambda self: self.stalled)
    @rule(data=st.data())
    def archiver_goes_on(self, data: st.DataObject) -> None:
        self.go_on(data.draw(st.integers(0, len(self.stalled) - 1)))

    def go_on(self, which: int) -> None:
        """It commits only what is still as it was read; else it harms nothing."""
        saved = self.stalled.pop(which)
        slow = Archiver(self.store, self.archiver.archive)
        results: list[Archived] = []
        slow._commit(saved, results)
        (done,) = results
        self.note("stalled archiver: " + ("archived" if done.word == "archived" else "too late"))
        if done.word == "archived" and not self.sessions[done.session_id].archived:
            assert self._archive_word(done.session_id) == "archived"
            self.sessions[done.session_id].archived = True
            self.sessions[done.session_id].rev += 1

    @precondition(lambda self: len(self._present()) < len(IDS))
    @rule(data=st.data())
    def restore_one(self, data: st.DataObject) -> None:
        """Of those only that the store does not know: nobody asks for others."""
        known = [one for one in IDS if one in self.sessions]
        present = [one for one in known if not self.sessions[one].archived]
        self.restore(data.draw(st.sampled_from([one for one in IDS if one not in present])))

    def restore(self, session_id: str) -> None:
        session = self.sessions.get(session_id)
        self.note("restore: " + ("unknown" if session is None else "done"))
        assert self.archiver.restore(session_id) == (session is not None)
        if session is not None:
            session.archived = False

    @rule()
    def index_is_lost(self) -> None:
        """And only that; a register finds the file by its name."""
        keys = self.store.keys
        self.client.delete(keys.archived(0), keys.archive_names(0), keys.archive_summaries(0))
        self.note("index: lost")
        self.is_indexed = False

    @rule()
    def reindex(self) -> None:
        for name in walk.newest_names(self.archiver.archive.store):
            header = self.archiver.archive.load_header(name)
            assert header is not None
            entry = IndexEntry(
                header.session_id, name, header.generation, header.rev, 1, header.summary
            )
            self.store.archive_index.add(0, [entry])
        self.note("index: made again")
        self.is_indexed = True
