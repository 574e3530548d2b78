"""One archive per service, and what is finished that was cut off."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from service.archive.errors import ArchiveUnavailable
from service.archiving.archiver import Archiver
from service.manager.manager import SessionManager
from service.sessions.store.store import RedisSessionStore
from tests.support.archive.archiving import A, files_of, place_of
from tests.support.archive.quiet_sessions import NUMBERS, gone, sweep
from tests.support.nodes.stores import part


def test_another_or_an_unmounted_archive_is_refused_at_the_start(
    redis_url: str, key_prefix: str, tmp_path: Path
) -> None:
    """Also none where there is one; a tool that only looks gets along without."""
    from service.config.loader import load_config
    from service.errors import ConfigError

    flags = {"redis.url": redis_url, "redis.key_prefix": key_prefix}
    root = tmp_path / "archive"

    def connect(url: str, *, lenient: bool = False) -> SessionManager:
        return SessionManager.connect(
            redis_url, load_config(None, {**flags, "archive.url": url}), lenient=lenient
        )

    first = connect(root.as_uri())
    gone(first.store, "d1")
    assert first.archiver is not None
    first.archiver.archive_sessions(["d1"])
    first.close()
    for url in ("", (tmp_path / "another").as_uri()):
        with pytest.raises(ConfigError, match=r"archive\.url: "):
            connect(url)
        tool = connect(url, lenient=True)
        assert tool.store.index.counts()["archived"] == 1
        assert [one["session_id"] for one in tool.get_sessions("archived")["sessions"]] == ["d1"]
        with pytest.raises(ArchiveUnavailable):
            tool.get_session("d1")
        with pytest.raises(ArchiveUnavailable):
            tool.delete_session("d1")
        tool.close()
    root.rename(tmp_path / "away")
    root.mkdir()  # the mount point
    with pytest.raises(ConfigError, match=r"archive\.url: "):
        connect(root.as_uri())
    assert list(root.iterdir()) == []
    shutil.rmtree(root)
    (tmp_path / "away").rename(root)
    again = connect(root.as_uri())
    assert again.get_session("d1")["state"] == "archived"  # type: ignore[index]
    again.close()


def test_reclaim_of_a_session_that_was_archived_meanwhile_brings_it_back_whole(
    store: RedisSessionStore, archiver: Archiver, root: Path
) -> None:
    """A node slept while its session expired and was archived: it gets the session, not a bare one."""
    from tests.support.nodes.stores import holding

    own = store.ownership.register("d1", node_id=A, sid="aaaa.1", stream="")
    p = store.keys.partition("d1")
    store.samples.append(p, A, next(NUMBERS), [part("d1", own.generation, ("k", 1), seq=(1, 1))])
    store.ownership.disconnect(p, A, [("d1", "aaaa.1", own.generation)], "lease_expired")
    archiver.archive_sessions(["d1"])
    assert store.ownership.reclaim(p, A, [holding(own, "aaaa.1")]) == [("archived", None)]
    assert archiver.reclaim(p, A, [holding(own, "aaaa.1")]) == [("ok", None)]
    assert place_of(store, root) == "active"
    details = store.index.details("d1")
    assert details is not None
    assert details["telemetry"] == {"k": 1}
    assert details["last_seq"] == 1
    assert details["generation"] == own.generation


@pytest.mark.parametrize("step", ["tombstone", "files"])
def test_register_finishes_a_delete_that_was_cut_off(
    store: RedisSessionStore, archiver: Archiver, root: Path, step: str
) -> None:
    """No resurrection, and no device that waits for the tombstone's hour."""

    class Killed(BaseException):
        pass

    def kill(name: str) -> None:
        if name == step:
            raise Killed

    gone(store, "d1", 200)
    sweep(archiver)
    mortal = Archiver(store, archiver.archive, step=kill)
    with pytest.raises(Killed):
        mortal.delete("d1")
    fresh = archiver.register("d1", node_id=A, sid="aaaa.2")
    assert (fresh.resumed, fresh.restored) == (False, False)
    assert place_of(store, root) == "active"
    assert files_of(root) == []
