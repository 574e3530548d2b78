"""An archive that is taken over: only when told, whole, and its former owner lets go of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, ForeignArchive, WrongArchive
from service.archive.file_store import FileArchiveStore
from service.archive.marker import Owner
from service.archiving.archiver import Archiver
from service.archiving.keeper import RECENT_S
from service.errors import ConfigError
from tests.support.archive.archive_files import contents
from tests.support.archive.archive_owners import Services, archived, at_once
from tests.support.archive.archiving import come_and_go

pytestmark = pytest.mark.processes


def test_adopt_refuses_an_owner_that_was_seen_lately(services: Services) -> None:
    archived(services.start("p"))
    before = services.mark()

    refused = services.adopt("s")

    assert refused.returncode == 1
    assert "was seen" in refused.stderr
    assert before["service"] in refused.stdout
    assert services.mark() == before
    assert "archive" not in services.meta("s")


@pytest.mark.parametrize("seconds", [RECENT_S - 60, -3600])
def test_adopt_counts_the_time_by_the_disk(services: Services, seconds: float) -> None:
    """A sign of life in the future (that clock went back) is no reason to take it."""
    services.start("p")
    services.fall_silent(seconds)

    assert services.adopt("s").returncode == 1


def test_adopt_after_redis_was_lost_brings_everything_back(services: Services) -> None:
    archived(services.start("p"))
    services.lose_redis("p")
    services.fall_silent()

    done = services.adopt("p", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["adopted"]
    assert told["was"]["key_prefix"] == f"{services.prefix}-p"
    assert told["service"] == services.mark()["service"] == services.meta("p")["service"]
    manager = services.start("p")
    assert manager.archiver is not None
    back = manager.archiver.register("d1", node_id="n-bbbb", sid="bbbb.1", stream="run")
    assert (back.restored, back.last_seq) == (True, 1)
    again = services.adopt("p", "--json")
    assert json.loads(again.stdout)["adopted"] is False


def test_former_owner_touches_nothing_after_adopt(services: Services) -> None:
    """Forced while it runs: every call is refused, no device begins anew, nothing is deleted."""
    manager = services.start("p")
    archived(manager)
    come_and_go(manager.store, "d2", ("k", 1), sid="aaaa.2")
    assert manager.archiver is not None
    assert manager.keeper is not None

    assert services.adopt("s", "--force").returncode == 0
    before = contents(services.root)

    with pytest.raises(ArchiveUnavailable):
        manager.archiver.register("d3", node_id="n-bbbb", sid="bbbb.1")
    for use in (
        lambda: manager.archiver.restore("d1"),  # type: ignore[union-attr]
        lambda: manager.archiver.archive_sessions(["d2"]),  # type: ignore[union-attr]
        lambda: manager.delete_session("d1"),
    ):
        with pytest.raises(ForeignArchive, match=f"{services.prefix}-s"):
            use()
    manager.keeper.keep()
    assert "belongs to service" in manager.keeper.wrong  # type: ignore[attr-defined]
    assert contents(services.root) == before
    assert manager.store.index.get("d2") is not None
    with pytest.raises(ConfigError, match="belongs to service"):
        services.start("p")
    assert (
        services.start("s")
        .archiver.register(  # type: ignore[union-attr]
            "d1", node_id="n-bbbb", sid="bbbb.1"
        )
        .restored
    )


@pytest.mark.parametrize("step", ["created", "synced", "shown", "durable"])
def test_session_stays_in_redis_when_the_archive_is_taken_while_its_file_is_written(
    services: Services, step: str
) -> None:
    """A worker was paused in the middle; it wakes up and does not finish."""
    manager = services.start("p")
    come_and_go(manager.store, "d1", ("k", 1))
    was = services.mark()["store_id"]

    def take(name: str) -> None:
        if name == step and services.mark()["store_id"] == was:
            FileArchiveStore(services.root).adopt(was, Owner("b" * 32))

    files = FileArchiveStore(services.root, step=take)
    files.open(was, Owner(services.meta("p")["service"]))
    with pytest.raises(ForeignArchive):
        Archiver(manager.store, Archive(files)).archive_sessions(["d1"])
    assert manager.store.index.get("d1") is not None


def test_running_process_follows_what_redis_names(services: Services) -> None:
    """Its service adopted another folder: it does not go on in the old one."""
    manager = services.start("p")
    archived(manager)
    services.client.hset(f"{services.prefix}-p:meta", "archive", "f" * 32)

    assert manager.keeper is not None
    manager.keeper.keep()

    with pytest.raises(WrongArchive, match="f" * 32):
        manager.archiver.archive.store.list()  # type: ignore[union-attr]
    assert "another archive" in manager.keeper.wrong  # type: ignore[attr-defined]


def test_adopt_that_was_cut_off_is_finished_by_the_next_start(services: Services) -> None:
    """Between the marker and Redis: the folder is the service's already."""
    archived(services.start("p"))
    services.lose_redis("p")
    bare = services.start("p", lenient=True).store
    config = services.config("p")
    service, _ = bare.archive_index.note("a" * 32)
    files = FileArchiveStore(services.root)
    files.adopt(files.identify().store_id, Owner(service, config.redis.key_prefix))

    manager = services.start("p")
    assert manager.get_session("d1") is not None
    assert manager.store.archive_index.known() == (service, services.mark()["store_id"])


@pytest.mark.parametrize("step", ["created", "written", "synced", "claimed"])
def test_marker_is_whole_wherever_an_adoption_is_cut_off(services: Services, step: str) -> None:
    services.start("p")
    before = services.mark()

    def die(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    files = FileArchiveStore(services.root, step=die)
    with pytest.raises(KeyboardInterrupt):
        files.adopt(before["store_id"], Owner("b" * 32))

    assert services.mark()["service"] in (before["service"], "b" * 32)
    assert (services.mark() == before) is (step != "claimed")


def test_adoptions_at_once_leave_one_owner(services: Services) -> None:
    services.start("p")
    was = services.mark()["store_id"]
    won: list[str] = []

    def adopt(number: int) -> Any:
        owner = Owner(f"{number}" * 32)
        try:
            FileArchiveStore(services.root).adopt(was, owner)
            won.append(owner.service)
        except WrongArchive:
            pass

    at_once(6, adopt)
    assert won == [services.mark()["service"]]
