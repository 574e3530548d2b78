"""`muster archive` on an archive alone: what it shows, what it moves, and its exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.archive.file_store import FileArchiveStore
from service.archive.names import name_of
from service.cli.archive.command import archive
from service.errors import ConfigError, ServiceError, SessionNotFound
from tests.support.archive.archive_command import session
from tests.support.archive.archive_files import make_file, open_store

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
