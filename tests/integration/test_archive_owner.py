"""Whose an archive is: one service's at a time, and nobody else takes it unasked."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.archive import marker
from service.archive.archive import Archive
from service.archive.errors import ArchiveUnavailable, ForeignArchive, WrongArchive
from service.archive.file_store import FileArchiveStore
from service.archive.marker import MARKER, Owner
from service.cli import archive_adopt
from service.config import Config, load_config
from service.errors import ConfigError
from service.sessions import SessionManager
from service.sessions.archiving import Archiver
from service.stores import adopt_archive, connect_manager, open_files
from tests.archive_files import contents
from tests.archiving import come_and_go
from tests.conftest import RealServer
from tests.processes import muster


class Services:
    """Services on one Redis, each with its own prefix; all are given the same folder."""

    def __init__(self, url: str, prefix: str, root: Path, client: redis.Redis) -> None:
        self.url = url
        self.prefix = prefix
        self.root = root
        self.client = client
        self.made: list[SessionManager] = []

    def config(self, name: str, root: Path | None = None) -> Config:
        flags = {"redis.url": self.url, "redis.key_prefix": f"{self.prefix}-{name}"}
        return load_config(None, {**flags, "archive.url": (root or self.root).as_uri()})

    def start(self, name: str, root: Path | None = None, **options: Any) -> SessionManager:
        self.made.append(connect_manager(self.url, self.config(name, root), **options))
        return self.made[-1]

    def lose_redis(self, name: str) -> None:
        for key in list(self.client.scan_iter(f"{self.prefix}-{name}:*")):
            self.client.delete(key)

    def meta(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self.client.hgetall(f"{self.prefix}-{name}:meta")
        return found

    def mark(self, root: Path | None = None) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(((root or self.root) / MARKER).read_text())
        return told

    def forget_owner(self) -> None:
        """The marker is as the version before owners wrote it."""
        told = self.mark()
        (self.root / MARKER).write_text(
            json.dumps({"muster_archive": 1, "store_id": told["store_id"]})
        )

    def fall_silent(self, seconds: float = 3600) -> None:
        """The owner was last seen that long ago."""
        seen = (self.root / MARKER).stat().st_mtime - seconds
        os.utime(self.root / MARKER, (seen, seen))

    def adopt(self, name: str, *arguments: str) -> Any:
        config = self.config(name)
        return muster(
            *("archive", "adopt", *arguments),
            settings={
                "MUSTER_REDIS__URL": self.url,
                "MUSTER_REDIS__KEY_PREFIX": config.redis.key_prefix,
                "MUSTER_ARCHIVE__URL": config.archive.url,
            },
        )


@pytest.fixture
def services(
    redis_url: str, key_prefix: str, tmp_path: Path, redis_client: redis.Redis
) -> Iterator[Services]:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    made = Services(redis_url, key_prefix, tmp_path / "archive", client)
    yield made
    for one in made.made:
        one.close()
    client.close()


def archived(manager: SessionManager, session_id: str = "d1") -> None:
    """A device's session with a sample, in the archive."""
    come_and_go(manager.store, session_id, ("k", 1))
    assert manager.archiver is not None
    assert [one.word for one in manager.archiver.archive_sessions([session_id])] == ["archived"]


def at_once(count: int, call: Callable[[int], SessionManager]) -> list[SessionManager | Exception]:
    answers: list[Any] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(10)
        try:
            answers[number] = call(number)
        except ConfigError as exc:
            answers[number] = exc

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


# -- a start --


def test_second_service_is_refused_and_changes_nothing(services: Services) -> None:
    """It is told whose the archive is, when he was last seen, and what to do."""
    archived(services.start("p"))
    before = contents(services.root), services.mark()

    with pytest.raises(ConfigError, match=r"archive\.url: .* belongs to service") as caught:
        services.start("s")

    owner = services.meta("p")["service"]
    for said in (owner, f"{services.prefix}-p", "last sign of life", "muster archive adopt"):
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
    assert services.start(f"s{got[0]}").store.known_archive()[1] == services.mark()["store_id"]


def test_processes_of_one_service_that_start_at_once_all_get_it(services: Services) -> None:
    answers = at_once(6, lambda _: services.start("p"))

    assert all(isinstance(one, SessionManager) for one in answers), answers
    told = services.mark()
    assert services.meta("p")["archive"] == told["store_id"]
    assert services.meta("p")["service"] == told["service"]


def test_archive_that_is_set_later_is_claimed_by_the_service_there_is(services: Services) -> None:
    config = services.config("p")
    without = config.model_copy(update={"archive": load_config(None, {}).archive})
    first = connect_manager(services.url, without)
    services.made.append(first)
    assert first.archiver is None
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


# -- adopt --


def test_adopt_refuses_an_owner_that_was_seen_lately(services: Services) -> None:
    archived(services.start("p"))
    before = services.mark()

    refused = services.adopt("s")

    assert refused.returncode == 1
    assert "was seen" in refused.stderr
    assert before["service"] in refused.stdout
    assert services.mark() == before
    assert "archive" not in services.meta("s")


@pytest.mark.parametrize("seconds", [archive_adopt.RECENT_S - 60, -3600])
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
    assert manager.store.get("d2") is not None
    with pytest.raises(ConfigError, match="belongs to service"):
        services.start("p")
    assert (
        services.start("s")
        .archiver.register(  # type: ignore[union-attr]
            "d1", node_id="n-bbbb", sid="bbbb.1"
        )
        .restored
    )


@pytest.mark.parametrize("step", ["created", "synced", "renamed", "durable"])
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
    assert manager.store.get("d1") is not None


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
    service, _ = bare.note_archive("a" * 32)
    files = FileArchiveStore(services.root)
    files.adopt(files.identify().store_id, Owner(service, config.redis.key_prefix))

    manager = services.start("p")
    assert manager.get_session("d1") is not None
    assert manager.store.known_archive() == (service, services.mark()["store_id"])


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
