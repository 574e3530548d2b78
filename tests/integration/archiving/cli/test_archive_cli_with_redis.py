"""`muster archive` next to a Redis: import, reindex, status, doctor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.archive.archive_command import Service
from tests.support.system.processes import muster

pytestmark = pytest.mark.processes


@pytest.fixture
def service(redis_url: str, key_prefix: str, tmp_path: Path):
    made: list[Service] = []

    def make(name: str = "one") -> Service:
        made.append(Service(redis_url, f"{key_prefix}-{name}", tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.manager.close()


def test_import_takes_sessions_of_another_archive_whole(service):
    """Files of a copy: what is unknown comes in; what is archived or live here stays as it is."""
    source, target = service("source"), service("target")
    for name in ("a", "b", "c"):
        source.archived(name, 1, 2)
    target.archived("b", "mine")
    target.manager.store.ownership.create("c")

    told = target.muster("archive", "import", str(source.root))

    assert told == {"imported": 1, "known": 1, "live": 1}
    assert target.values("b") == ["mine"]

    assert target.values("a") == [1, 2]
    assert target.manager.get_session("a")["project_id"] == "p"
    assert target.manager.store.index.get("c")["state"] == "active"
    assert target.muster("archive", "import", str(source.root))["imported"] == 0
    target.manager.update_telemetry("a", {"k": 3})
    assert target.values("a") == [1, 2, 3]


def test_import_reads_what_export_wrote(service, tmp_path):
    """NDJSON of histories becomes sessions with these histories."""
    source, target = service("source"), service("target")
    source.archived("a", 1, {"x": [None]}, "é")
    source.archived("b", 5)
    lines = tmp_path / "lines.ndjson"
    done = muster("archive", "export", "-o", str(lines), settings=source.settings)
    assert done.returncode == 0, done.stderr

    assert target.muster("archive", "import", str(lines)) == {"imported": 2}

    assert target.values("a") == [1, {"x": [None]}, "é"]
    own = target.archiver.register("b", node_id="n-aaaa", sid="aaaa.1")
    assert own.restored
    assert target.values("b") == [5]
    assert target.muster("archive", "import", str(lines)) == {"imported": 0, "known": 2}


def test_import_of_bad_files_says_which_and_fails(service, tmp_path):
    target = service("target")
    bad = tmp_path / "bad.json.zst"
    bad.write_bytes(b"hello")
    done = muster("archive", "import", str(bad), settings=target.settings)
    assert done.returncode == 1
    assert "bad.json.zst: it is no archive of Muster" in done.stderr
    assert list(target.root.glob("????/*")) == []


def test_reindex_finds_everything_again_and_puts_bad_files_aside(service, redis_client):
    one = service()
    for number in range(7):
        one.archived(f"d{number}", number)
    broken = one.root / str(one.manager.store.archive_index.name_of("d3"))
    broken.write_bytes(broken.read_bytes()[:-1])
    for key in list(redis_client.scan_iter(f"{one.manager.store.keys.prefix}:*")):
        redis_client.delete(key)
    refused = muster("archive", "reindex", settings=one.settings)
    assert refused.returncode == 2
    assert "muster archive adopt" in refused.stderr
    assert one.muster("archive", "adopt", "--force")["adopted"]
    one.manager.keeper.keep()
    one.manager.store.ownership.create("d4")

    assert one.muster("archive", "reindex") == {"indexed": 5, "beside": 1, "bad": 1}

    listed = one.manager.get_sessions("archived", project_id="p")["sessions"]
    assert {item["session_id"] for item in listed} == {"d0", "d1", "d2", "d5", "d6"}
    assert one.values("d5") == [5]
    assert one.muster("archive", "reindex") == {"indexed": 0, "known": 5, "beside": 1, "bad": 0}
    status = one.muster("status")
    assert status["counts"]["archived"] == 5
    assert status["archive"]["quarantined"] == 1


def test_files_beside_a_newer_one_are_shown_and_can_be_put_back(service, redis_client):
    """Redis was emptied, the device began anew and was archived: both states are there."""
    one = service()
    one.archived("d", "lost?")
    first = one.manager.store.archive_index.name_of("d")
    for key in list(redis_client.scan_iter(f"{one.manager.store.keys.prefix}:*")):
        if not key.endswith(":meta"):
            redis_client.delete(key)
    one.archived("d", *range(20))
    second = one.manager.store.archive_index.name_of("d")
    told = one.muster("archive", "verify")
    assert (told["ok"], told["beside"]) == (True, [first])
    shown = muster("archive", "verify", settings=one.settings)
    assert "1 with a newer file" in shown.stdout

    told = one.muster("archive", "put-back", first)

    assert told == {"put_back": first, "name": one.manager.store.archive_index.name_of("d")}
    assert one.values("d") == ["lost?"]
    assert one.muster("archive", "verify")["beside"] == [second]
    for wrong in ("nothing", second.replace("d~", "e~"), first):
        done = muster("archive", "put-back", wrong, settings=one.settings)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr


def test_status_and_doctor_tell_of_an_archive_that_is_away(service):
    """Both still work; doctor says what to do and fails."""
    one = service()
    one.archived("a", 1)
    assert one.muster("status")["archive"]["wrong"] == ""
    one.root.rename(one.root.with_name("away"))
    assert one.muster("status")["archive"]["wrong"]
    told = muster("doctor", settings=one.settings)
    assert told.returncode == 1
    assert "mount its disk" in told.stdout


def test_doctor_warns_where_there_is_no_archive(redis_url, key_prefix):
    settings = {"MUSTER_REDIS__URL": redis_url, "MUSTER_REDIS__KEY_PREFIX": key_prefix}
    told = muster("doctor", settings=settings)
    assert "set archive.url to a folder" in told.stdout
