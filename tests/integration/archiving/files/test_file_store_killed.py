"""The file store killed or stopped between any two steps: nothing torn, nothing lost, no litter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.archive.errors import ArchiveUnavailable
from service.archive.marker import MARKER
from tests.support.archive.archive_files import contents, make_file, open_store

pytestmark = pytest.mark.processes

CHILD = [sys.executable, "-W", "ignore", "-m", "tests.support.archive.archive_child"]
HERE = Path(__file__).parents[4]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


class Stopped:
    """A child that stands still at a step."""

    def __init__(self, root: Path, action: str, step: str, nth: int = 1) -> None:
        self.process = subprocess.Popen(
            [*CHILD, "stop", str(root), action, step, str(nth)],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line != f"at {step}\n":
            self.kill()
            raise AssertionError(line)

    def kill(self) -> None:
        self.process.kill()
        self._close()

    def go_on(self) -> str:
        """What it says at its end."""
        answer, _ = self.process.communicate("\n", timeout=60)
        return answer

    def _close(self) -> None:
        self.process.communicate(timeout=60)


PUT_STEPS = [("created", 1), ("created", 4), ("written", 1), ("written", 10), ("shown", 1)]
PUT_STEPS += [("shown", 5), ("shown", 10), ("durable", 1)]


@pytest.mark.parametrize(
    ("action", "step", "nth"),
    [("put", *one) for one in [*PUT_STEPS, ("synced", 1), ("synced", 10)]]
    + [("shared_put", *one) for one in [*PUT_STEPS, ("synced", 1)]],
)
def test_put_killed_at_any_step_leaves_whole_files_only(root, action, step, nth):
    """Old files stay, a new one is there entirely or not at all, litter goes, a repeat succeeds."""
    store = open_store(root)
    old = [make_file(f"device-{n}", rev=1) for n in range(10)]
    store.put(old)

    Stopped(root, action, step, nth).kill()

    assert all(store.get(name) == data for name, data in old)
    new = dict(make_file(f"device-{n}", rev=2) for n in range(10))
    there = [name for name in store.list() if name in new]
    assert all(store.get(name) == new[name] for name in there)
    assert len(there) == {"shown": nth, "durable": 10}.get(step, 0)
    left = os.listdir(root / "tmp")
    assert store.collect_litter(3600) == 0
    assert store.collect_litter(0) == len(left)
    assert os.listdir(root / "tmp") == []

    store.put(list(new.items()))
    assert all(store.get(name) == data for name, data in [*old, *new.items()])


@pytest.mark.parametrize("action", ["delete", "shared_delete"])
@pytest.mark.parametrize(("step", "nth"), [("removed", 1), ("removed", 10), ("durable", 1)])
def test_delete_killed_at_any_step_can_be_repeated(root, action, step, nth):
    store = open_store(root)
    files = [make_file(f"device-{n}", rev=1) for n in range(11)]
    store.put(files)

    Stopped(root, action, step, nth).kill()
    store.delete([name for name, _ in files[:10]])

    assert store.list() == [files[10][0]]


@pytest.mark.parametrize("step", ["created", "written", "synced", "reason_written", "moved"])
def test_quarantine_killed_at_any_step_has_the_file_in_one_place(root, step):
    store = open_store(root)
    name, data = make_file("device-0", rev=1)
    store.put([(name, data)])

    Stopped(root, "quarantine", step).kill()

    items = store.quarantined()
    assert (store.get(name) == data) == (step != "moved")
    assert [one.reason for one in items] == (["why"] if step == "moved" else [])
    assert store.collect_litter(0) == (0 if step == "moved" else 1)
    assert store.quarantine(name, "again") is None if items else store.quarantine(name, "again")
    assert len(store.quarantined()) == 1
    assert store.read_quarantined(store.quarantined()[0].item) == data


@pytest.mark.parametrize("step", ["linked", "unlinked"])
def test_put_back_killed_at_any_step_loses_nothing(root, step):
    store = open_store(root)
    name, data = make_file("device-0", rev=1)
    store.put([(name, data)])
    item = store.quarantine(name, "why")

    Stopped(root, "unquarantine", step).kill()

    assert store.get(name) == data
    assert store.unquarantine(item) in (name, None)
    assert store.get(name) == data
    assert store.quarantined() == []
    store.collect_litter(0)
    assert os.listdir(root / "quarantine") == []


@pytest.mark.parametrize("step", ["created", "written", "synced", "claimed"])
def test_claim_killed_at_any_step_can_be_repeated(root, step):
    Stopped(root, "claim", step).kill()

    store = open_store(root)
    store.put([make_file()])
    store.collect_litter(0)
    assert contents(root)[-1] == "tmp"
    assert {path.split("/")[0] for path in contents(root)} == {
        MARKER,
        "tmp",
        make_file()[0][:4],
    }


@pytest.mark.parametrize("action", ["put", "shared_put"])
def test_put_stopped_before_its_rename_does_not_hide_a_newer_file(root, action):
    """An archiver that wakes up after the session came back and was archived again."""
    store = open_store(root)
    stopped = Stopped(root, action, "synced")
    newer = make_file("device-0", rev=3)
    store.put([newer])

    assert stopped.go_on() == "done\n"

    assert store.find("device-0") == [newer[0], make_file("device-0", rev=2)[0]]
    assert store.get(newer[0]) == newer[1]


def test_put_stopped_for_so_long_that_its_file_was_collected_fails_and_can_be_repeated(root):
    store = open_store(root)

    def collect(step: str) -> None:
        if step == "synced":
            store.collect_litter(0)

    slow = open_store(root, collect)
    with pytest.raises(ArchiveUnavailable):
        slow.put([make_file()])

    assert store.list() == []
    store.put([make_file()])
    assert store.list() == [make_file()[0]]


def test_collect_litter_goes_by_age(root):
    store = open_store(root)
    store.put([make_file()])
    for name in ("old", "young"):
        (root / "tmp" / name).write_bytes(b"x")
    os.utime(root / "tmp" / "old", (1, 1))

    assert store.collect_litter(3600) == 1
    assert os.listdir(root / "tmp") == ["young"]
    assert store.collect_litter(0) == 1
