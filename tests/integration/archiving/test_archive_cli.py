"""`muster archive` on an archive alone: what it shows, what it moves, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.archive.file_store import FileArchiveStore
from service.archive.names import name_of
from service.archive.record import Record, encode
from service.cli.archive.command import archive
from service.config.loader import load_config
from service.errors import ConfigError, ServiceError, SessionNotFound
from service.manager.manager import SessionManager
from tests.support.archive_files import make_file, open_store
from tests.support.processes import muster

pytestmark = pytest.mark.processes

Run = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> FileArchiveStore:
    return open_store(tmp_path / "archive")


@pytest.fixture
def run(store: FileArchiveStore, tmp_path: Path) -> Run:
    """Runs `muster archive`; what it raises on purpose is raised."""

    def call(*arguments: str) -> Result:
        place = ["--archive", str(tmp_path / "archive")]
        result = CliRunner().invoke(archive, [*arguments, *place])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def session(
    session_id: str, body: dict[str, Any], rev: int = 1, **summary: str
) -> tuple[str, bytes]:
    record = Record(session_id, 5, rev, 1_763_600_500_000, {"rev": str(rev), **summary}, body)
    return record.name, encode(record)


def test_list_shows_the_newest_file_of_each_session(store, run):
    store.put([make_file("a", 9), make_file("a", 10), make_file("b"), make_file("x" * 256)])

    answer = json.loads(run("list", "--json").stdout)

    assert {(one["session_id"], one["rev"]) for one in answer["sessions"]} == {
        ("a", 10),
        ("b", 1),
        ("x" * 256, 1),
    }
    assert answer["next"] is None
    assert answer["sessions"][0]["archived_at"] == 1_763_600_500.0


def test_list_pages_give_every_session_once(store, run):
    store.put([make_file(f"d{n}", rev) for n in range(23) for rev in (1, 2)])

    seen, after = [], ""
    while True:
        page = json.loads(run("list", "--json", "--limit", "5", "--after", after).stdout)
        seen += [one["session_id"] for one in page["sessions"]]
        if page["next"] is None:
            break
        after = page["next"]

    assert sorted(seen) == sorted(f"d{n}" for n in range(23))


def test_list_filters_by_beginning_and_project(store, run):
    store.put(
        [
            session("pump-1", {}, session_name="North", project_id="p"),
            session("pump-2", {}, session_name="South", project_id="q"),
            session("valve", {}, session_name="North 2", project_id="q"),
        ]
    )

    def ids(*arguments: str) -> set[str]:
        answer = json.loads(run("list", "--json", *arguments).stdout)
        return {one["session_id"] for one in answer["sessions"]}

    assert ids("-q", "pump") == {"pump-1", "pump-2"}
    assert ids("-q", "North") == {"pump-1", "valve"}
    assert ids("--project", "q") == {"pump-2", "valve"}
    assert ids("-q", "North", "--project", "q") == {"valve"}


def test_list_table_says_what_is_left_out(store, run):
    store.put([make_file("a"), make_file("b"), (make_file("c")[0], b"bad")])

    result = run("list", "--limit", "1")

    assert "--after" in result.stderr
    assert "1 invalid files" in run("list").stderr
    assert "pump" not in result.stdout


def test_verify_of_a_sound_archive_is_0(store, run):
    store.put([make_file(f"d{n}") for n in range(20)])

    result = run("verify")

    assert result.exit_code == 0
    assert "20 files: 0 bad, 0 cannot be read, 0 with a newer file." in result.stdout


def test_verify_finds_every_kind_of_damage_and_is_1(store, run, tmp_path):
    name, data = make_file("whole")
    store.put(
        [
            (name, data),
            (make_file("cut")[0], data[:-5]),
            (make_file("flipped")[0], data[:20] + bytes([data[20] ^ 4]) + data[21:]),
            (make_file("other")[0], data),
            (make_file("foreign")[0], b"PK\3\4"),
            (make_file("empty")[0], b""),
        ]
    )
    (tmp_path / "archive" / name_of("folder", 1, 1)).mkdir(parents=True)

    result = run("verify", "--json")

    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["ok"], answer["checked"], answer["bad"]) == (False, 7, 6)
    assert {one["session_id"] for one in answer["wrong"]} == {
        "cut",
        "flipped",
        "other",
        "foreign",
        "empty",
        "folder",
    }
    assert store.quarantined() == []  # nothing is moved unless it is asked for

    assert run("verify", "--quarantine").exit_code == 1
    assert len(store.quarantined()) == 6
    assert run("verify").exit_code == 0


def test_verify_file_that_cannot_be_read_is_told_apart_and_stays(store, run, monkeypatch):
    store.put([make_file("a"), make_file("b")])
    bad = make_file("a")[0]
    whole = FileArchiveStore.get

    def get(self: FileArchiveStore, name: str) -> bytes | None:
        if name == bad:
            with self._translated():
                raise OSError(5, "Input/output error")
        return whole(self, name)

    monkeypatch.setattr(FileArchiveStore, "get", get)

    result = run("verify", "--quarantine", "--json")

    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["bad"], answer["unreadable"]) == (0, 1)
    assert store.quarantined() == []


def test_export_ndjson_is_every_sample_of_the_newest_record(store, run):
    store.put(
        [
            session("d", {"data": {"old": [[1, 1.0]]}}, rev=9),
            session("d", {"data": {"t": [[1.5, 10.25], ["läuft", 11]], "s": [[None, 12]]}}, rev=10),
            session("e", {"data": {"t": [[{"a": [1]}, 13]]}}),
        ]
    )

    lines = [json.loads(line) for line in run("export").stdout.splitlines()]

    assert [(one["key"], one["ts"], one["value"]) for one in lines if one["session_id"] == "d"] == [
        ("t", 10.25, 1.5),
        ("t", 11, "läuft"),
        ("s", 12, None),
    ]
    assert [one["value"] for one in lines if one["session_id"] == "e"] == [{"a": [1]}]


def test_export_of_some_sessions_and_one_key(store, run):
    store.put([session(one, {"data": {"t": [[1, 1]], "s": [[2, 2]]}}) for one in ("d", "e", "f")])

    lines = run("export", "d", "f", "d", "--key", "s").stdout.splitlines()

    assert [json.loads(line)["session_id"] for line in lines] == ["d", "f"]
    with pytest.raises(SessionNotFound, match="nobody"):
        run("export", "d", "nobody")


def test_export_csv_holds_no_formula(store, run, tmp_path):
    """What a device sent does not run in the spreadsheet of whoever opens it."""
    hostile = ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", " =1"]
    samples = [[value, n] for n, value in enumerate([*hostile, -1.5, [-1], True, "a,b\n"])]
    store.put([session("=cmd", {"data": {"@key": samples}})])

    run("export", "--format", "csv", "-o", str(tmp_path / "out.csv"))

    rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_bytes().decode(), newline="")))
    assert rows[0] == ["session_id", "key", "ts", "value"]
    assert [row[3] for row in rows[1:]] == [
        *[f"'{one}" for one in hostile],
        "-1.5",
        "[-1]",
        "true",
        "a,b\n",
    ]
    assert {(row[0], row[1]) for row in rows[1:]} == {("'=cmd", "'@key")}


def test_export_leaves_bad_files_out_and_is_1(store, run):
    store.put([session("d", {"data": {"t": [[1, 1]]}}), (make_file("e")[0], b"bad")])

    result = run("export")

    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1
    assert "left out" in result.stderr


def test_quarantine_is_listed_shown_and_put_back(store, run, tmp_path):
    name, data = make_file("pump")
    store.put([(name, data)])
    item = store.quarantine(name, "its checksum is wrong")

    (one,) = json.loads(run("quarantine", "list", "--json").stdout)["items"]
    assert (one["item"], one["session_id"], one["reason"]) == (
        item,
        "pump",
        "its checksum is wrong",
    )
    assert "its checksum is wrong" in run("quarantine", "list").stdout
    assert "it is valid" in run("quarantine", "show", item).stdout
    assert json.loads(run("quarantine", "show", item, "--json").stdout)["name"] == name

    assert run("quarantine", "put-back", item).exit_code == 0
    assert store.get(name) == data
    assert json.loads(run("quarantine", "list", "--json").stdout) == {"items": []}


def test_quarantine_put_back_of_what_is_still_bad_needs_force(store, run):
    name = make_file("pump")[0]
    store.put([(name, b"bad")])
    item = store.quarantine(name, "why")

    with pytest.raises(ServiceError, match="stays"):
        run("quarantine", "put-back", item)
    assert store.get(name) is None
    assert run("quarantine", "put-back", item, "--force").exit_code == 0
    assert store.get(name) == b"bad"


def test_quarantine_put_back_replaces_nothing(store, run):
    name, data = make_file("pump")
    store.put([(name, data)])
    item = store.quarantine(name, "why")
    store.put([(name, data)])

    with pytest.raises(ServiceError, match="again"):
        run("quarantine", "put-back", item)


@pytest.mark.parametrize("command", ["show", "put-back"])
def test_quarantine_unknown_item_is_said(run, command):
    with pytest.raises(ServiceError, match="There is no"):
        run("quarantine", command, "0" * 12)


@pytest.mark.parametrize("command", [["list"], ["verify"], ["export"], ["quarantine", "list"]])
def test_commands_without_an_archive_say_so_and_make_none(tmp_path, command):
    for place in (tmp_path, tmp_path / "nowhere"):
        result = CliRunner().invoke(archive, [*command, "--archive", str(place)])
        assert isinstance(result.exception, ConfigError)
    assert list(tmp_path.iterdir()) == []


def test_archive_of_a_data_folder_is_found(store, tmp_path):
    result = CliRunner().invoke(archive, ["list", "--data", str(tmp_path)])

    assert (result.exit_code, result.stdout) == (0, "No sessions.\n")
    url = f"file://{tmp_path}/archive"
    assert CliRunner().invoke(archive, ["list", "--archive", url]).exit_code == 0


# -- with Redis: import, reindex, status, doctor --


class Service:
    """A service with an archive, without nodes, and the command line beside it."""

    def __init__(self, url: str, prefix: str, root: Path) -> None:
        self.root = root
        self.settings = {
            "MUSTER_REDIS__URL": url,
            "MUSTER_REDIS__KEY_PREFIX": prefix,
            "MUSTER_ARCHIVE__URL": root.as_uri(),
        }
        flags = {"redis.url": url, "redis.key_prefix": prefix, "archive.url": root.as_uri()}
        self.manager = SessionManager.connect(url, load_config(None, flags))
        assert self.manager.archiver is not None
        self.archiver = self.manager.archiver

    def archived(self, session_id: str, *values: Any) -> None:
        """A session with these values of `k`, in the archive."""
        self.manager.store.ownership.create(session_id, "", "p")
        for value in values:
            self.manager.update_telemetry(session_id, {"k": value})
        self.manager.store.runner.run("sweep_idle", 0, [0, 500, 0])
        done = self.archiver.archive_sessions([session_id])
        assert [one.word for one in done] == ["archived"]

    def values(self, session_id: str) -> list[Any]:
        session = self.manager.get_session(session_id)
        return [] if session is None else [value for value, _ in session["data"]["k"]]

    def muster(self, *arguments: str) -> Any:
        done = muster(*arguments, "--json", settings=self.settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


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
