"""Whose an archive is: one service's at a time, and nobody else takes it unasked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive import marker
from service.archive.errors import ArchiveUnavailable, ForeignArchive
from service.archive.file_store import FileArchiveStore
from service.archive.marker import MARKER
from service.config.loader import load_config
from service.connect import adopt_archive, open_files
from service.errors import ConfigError
from service.manager.manager import SessionManager
from tests.conftest import RealServer
from tests.support.archive.archive_files import contents
from tests.support.archive.archive_owners import Services, archived, at_once

pytestmark = pytest.mark.processes

# -- a start --


def test_second_service_is_refused_and_changes_nothing(services: Services) -> None:
    """It is told whose the archive is, when he was last seen, and what to do."""
    archived(services.start("p"))
    before = contents(services.root), services.mark()

    with pytest.raises(ConfigError, match=r"archive\.url: .* belongs to service") as caught:
        services.start("s")

    owner = services.meta("p")["service"]
    for said in (owner, f"{services.prefix}-p", "last heartbeat", "muster archive adopt"):
        assert said in str(caught.value)
    assert (contents(services.root), services.mark()) == before
    assert "archive" not in services.meta("s")
    assert services.start("p").get_session("d1") is not None


def test_service_whose_redis_was_lost_is_refused_and_notes_nothing(services: Services) -> None:
    """Else a running node could not say again what it knows."""
    manager = services.start("p")
    known = services.meta("p")
    services.lose_redis("p")

    with pytest.raises(ConfigError, match="muster archive adopt"):
        services.start("p")
    assert services.meta("p").keys() <= {"schema", "partitions"}

    assert manager.keeper is not None
    manager.keeper.say()
    assert services.meta("p") == known
    services.start("p")


def test_of_services_that_start_at_once_on_a_new_folder_one_gets_it(services: Services) -> None:
    answers = at_once(6, lambda number: services.start(f"s{number}"))

    got = [number for number, one in enumerate(answers) if isinstance(one, SessionManager)]
    assert len(got) == 1, answers
    assert services.mark()["service"] == services.meta(f"s{got[0]}")["service"]
    assert (
        services.start(f"s{got[0]}").store.archive_index.known()[1] == services.mark()["store_id"]
    )


def test_processes_of_one_service_that_start_at_once_all_get_it(services: Services) -> None:
    answers = at_once(6, lambda _: services.start("p"))

    assert all(isinstance(one, SessionManager) for one in answers), answers
    told = services.mark()
    assert services.meta("p")["archive"] == told["store_id"]
    assert services.meta("p")["service"] == told["service"]


def test_archive_that_is_set_later_is_claimed_by_the_service_there_is(services: Services) -> None:
    config = services.config("p")
    without = config.model_copy(update={"archive": load_config(None, {}).archive})
    first = SessionManager.connect(services.url, without)
    services.made.append(first)
    assert not first.archiver.exists
    assert "service" not in services.meta("p")

    archived(services.start("p"))
    assert services.mark()["service"] == services.meta("p")["service"]


def test_copy_of_an_archive_is_no_other_services(services: Services, tmp_path: Path) -> None:
    """`cp -r` from production to staging: refused there, and after `adopt` the two are apart."""
    archived(services.start("p"))
    copy = tmp_path / "copy"
    shutil.copytree(services.root, copy)
    with pytest.raises(ConfigError, match="belongs to service"):
        services.start("s", copy)

    config = services.config("s", copy)
    with pytest.raises(ConfigError):
        services.start("s", copy)
    files = open_files(config)
    bare = services.start("s", copy, lenient=True).store
    adopt_archive(config, bare, files, services.mark(copy)["store_id"])
    staging, production = services.start("s", copy), services.start("p")
    staging.delete_session("d1")
    assert production.get_session("d1") is not None
    assert services.mark(copy)["store_id"] != services.mark()["store_id"]


# -- archives of the version before --


def test_archive_without_an_owner_goes_to_the_first_that_has_noted_it(services: Services) -> None:
    """Both have noted it, as the fault of that version allowed; one goes on, the other is told."""
    archived(services.start("p"))
    services.forget_owner()
    store_id = services.mark()["store_id"]
    for name in ("p", "s"):
        services.lose_redis(name)
        services.client.hset(
            f"{services.prefix}-{name}:meta", mapping={"archive": store_id, "schema": "1"}
        )

    answers = at_once(2, lambda number: services.start("ps"[number]))

    assert sorted(type(one).__name__ for one in answers) == ["ConfigError", "SessionManager"]
    winner = "ps"[[isinstance(one, SessionManager) for one in answers].index(True)]
    assert services.mark() | {"service": services.meta(winner)["service"]} == services.mark()
    assert services.mark()["store_id"] == store_id


def test_archive_without_an_owner_is_refused_to_who_has_not_noted_it(services: Services) -> None:
    services.start("p")
    services.forget_owner()
    before = (services.root / MARKER).read_bytes()

    with pytest.raises(ConfigError, match="names no service"):
        services.start("s")
    assert (services.root / MARKER).read_bytes() == before
    refused = services.adopt("s")
    assert refused.returncode == 1
    assert "--force" in refused.stderr


def test_archive_without_an_owner_on_a_read_only_disk_can_be_read(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing the owner into it waits until it can be written."""
    archived(services.start("p"))
    services.forget_owner()

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(marker, "replace", refuse)
        manager = services.start("p")
        assert manager.get_session("d1") is not None
        assert manager.keeper is not None
        manager.keeper.keep()
        assert "Read-only" in manager.keeper.wrong  # type: ignore[attr-defined]
    manager.keeper.keep()
    assert manager.keeper.wrong == ""  # type: ignore[attr-defined]
    assert services.mark()["service"] == services.meta("p")["service"]


def test_of_two_that_hold_an_archive_without_an_owner_the_first_to_sign_keeps_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both started while the disk was read-only: the other one stops using it."""
    first = services.start("p")
    archived(first)
    services.forget_owner()
    store_id = services.mark()["store_id"]
    services.client.hset(f"{services.prefix}-s:meta", "archive", store_id)
    with monkeypatch.context() as patched:
        patched.setattr(marker, "replace", lambda *_, **__: None)
        second = services.start("s")

    assert second.keeper is not None
    second.keeper.keep()

    assert services.mark()["service"] == services.meta("s")["service"]
    assert services.mark()["store_id"] == store_id
    with pytest.raises(ForeignArchive, match=f"{services.prefix}-s"):
        first.delete_session("d1")
    assert second.archiver.archive.store.find("d1")  # type: ignore[union-attr]


def test_service_id_is_noted_by_a_full_redis_too(own_server: RealServer, tmp_path: Path) -> None:
    """Else a new version's workers could not start where they are needed most."""
    client = redis.Redis.from_url(own_server.url, decode_responses=True)
    services = Services(own_server.url, "p", tmp_path / "archive", client)
    services.start("p").close()
    services.forget_owner()
    client.hdel("p-p:meta", "service")
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("x", "y")
        services.start("p").close()
    finally:
        client.config_set("maxmemory", 0)
    assert services.mark()["service"] == services.meta("p")["service"]
    client.close()


# -- signs of life, and tools --


def test_sign_of_life_is_renewed_and_leaves_the_marker_as_it_is(services: Services) -> None:
    manager = services.start("p")
    services.fall_silent()
    text = (services.root / MARKER).read_bytes()
    files = FileArchiveStore(services.root)
    assert files.silent_s() > 3500

    assert manager.keeper is not None
    manager.keeper.keep()

    assert files.silent_s() < 60
    assert (services.root / MARKER).read_bytes() == text
    assert files.identify().seen_at == pytest.approx((services.root / MARKER).stat().st_mtime)


def test_tools_say_whose_the_archive_is_and_do_without(services: Services) -> None:
    archived(services.start("p"))
    tool = services.start("s", lenient=True)
    assert tool.archiver is not None
    with pytest.raises(ArchiveUnavailable, match="belongs to service"):
        tool.archiver.archive.store.quarantined()
    assert "archive" not in services.meta("s")
    assert services.mark()["service"] == services.meta("p")["service"]


@pytest.mark.parametrize(
    "told", [{"store_id": "a", "service": 7}, {"store_id": "a", "service": None}, [1], "x"]
)
def test_marker_that_names_nonsense_is_no_marker(services: Services, told: Any) -> None:
    services.root.mkdir()
    (services.root / MARKER).write_text(json.dumps(told))
    with pytest.raises(ConfigError, match=r"archive\.url: .* cannot be understood"):
        services.start("p")
    assert services.adopt("p", "--force").returncode == 2


def test_processes_that_start_together_on_a_new_folder_are_one_service(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One claims the folder after another has read that nobody knows it, and before it looks."""
    real = FileArchiveStore.identify
    others: list[SessionManager] = []

    def identify(store: FileArchiveStore) -> marker.Mark:
        if not others:
            others.append(services.start("p"))
        return real(store)

    def late(store: FileArchiveStore) -> marker.Mark:
        monkeypatch.setattr(FileArchiveStore, "identify", real)
        return identify(store)

    monkeypatch.setattr(FileArchiveStore, "identify", late)
    second = services.start("p")
    assert second.archiver.exists
    assert len(others) == 1
    assert services.mark()["service"] == services.meta("p")["service"]
