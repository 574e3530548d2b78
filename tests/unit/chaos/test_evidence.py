"""What a run leaves behind: nothing of it is lost on its way to the checks, and a kept run is judged as it was."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

import fakeredis
import pytest

from chaos import evidence as module
from chaos import report
from chaos.evidence import Evidence, all_summaries, collect, documented_keys, held, patiently
from chaos.journal import DataLost, Entry, Journal, Sent, read
from chaos.wishes import BulkAsked, Ordered, Put
from tests.unit.chaos.checks.sound import DEVICE, TAG, sound

KINDS = [*{kind.__name__: kind for kind in Entry.__subclasses__()}.values()]


def values_of(kind: type[Entry]) -> Iterator[Any]:
    """A value of its type for every field but `at`, each another one."""
    hints = get_type_hints(kind)
    for number, field in enumerate(dataclasses.fields(kind)[1:], 1):
        hint = hints[field.name]
        made = get_origin(hint) or hint
        if made not in (str, int, float, bool, list, dict, tuple):
            made = get_args(hint)[0]  # what it is, or None
        yield {str: f"ü{number}", list: [number], dict: {"n": number}, tuple: [f"c{number}"]}.get(
            made, number if made is not bool else number % 2 == 1
        )


def test_every_entry_is_read_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal()
    for kind in KINDS:
        journal.add(kind, *values_of(kind))
    assert [type(entry) for entry in journal.entries] == KINDS
    journal.write(tmp_path / "journal")
    again = read(tmp_path / "journal")
    assert [type(entry) for entry in again] == KINDS
    assert as_json(again) == as_json(journal.entries)
    assert list(journal.of(Sent)) == [one for one in journal.entries if type(one) is Sent]
    assert sorted(entry.at for entry in journal.entries) == [entry.at for entry in journal.entries]
    assert 0 < journal.entries[0].at <= journal.now < 60


def as_json(entries: list[Entry]) -> str:
    return json.dumps([dataclasses.asdict(entry) for entry in entries])


def spoilt() -> Evidence:
    """One that says something in every field."""
    evidence = sound()
    evidence.explained, evidence.unfinished = ("away",), ["people"]
    evidence.ttl_s, evidence.held_ttls = 36.0, {"session:quiet": 15_000}
    evidence.logs["node 0"] += ["Redis went away", "strange"]
    return evidence


def test_run_that_was_kept_is_judged_as_it_was(tmp_path: Path) -> None:
    evidence, journal = spoilt(), Journal()
    journal.entries = evidence.entries
    journal.write(tmp_path / module.JOURNAL)
    evidence.write(tmp_path)
    again = Evidence.read(tmp_path)
    assert json.dumps(dataclasses.asdict(again)) == json.dumps(dataclasses.asdict(evidence))
    assert report.findings_of(again) == report.findings_of(evidence)
    assert any(report.findings_of(again).values())


def test_last_loss_is_the_latest_and_without_one_nothing_may_be_lost() -> None:
    evidence = sound()
    assert not evidence.last_loss.may_have(-0.5, 1e9)
    assert not evidence.last_loss.may_have(0.0, 0.0)
    first, last = DataLost(3.0, -1.0, {}), DataLost(6.0, 4.0, {})
    evidence.entries = [last, *evidence.entries, first]
    assert evidence.last_loss is last


@pytest.mark.parametrize(
    ("asked_at", "answered_at", "may_have"),
    [
        (5.0, 6.0, True),
        (6.0, 7.0, True),  # it was on its way when the data went
        (6.1, 7.0, False),  # asked for afterwards
        (3.0, 4.1, True),
        (3.0, 4.0, False),  # stored before what was put back
    ],
)
def test_loss_takes_what_was_asked_before_it_and_answered_after_what_was_kept(
    asked_at: float, answered_at: float, may_have: bool
) -> None:
    assert DataLost(6.0, 4.0, {}).may_have(asked_at, answered_at) is may_have


def test_sample_was_first_sent_when_it_was_sent_first() -> None:
    sent = [Sent(at, DEVICE, "kiosk", "s1", 1, count) for at, count in [(1, 7), (2, 7), (3, 8)]]
    rival = [Sent(4, DEVICE, "rival", "s1", 1, 7), Sent(5, "other", "kiosk", "s1", 1, 7)]
    assert Evidence([*sent, *rival]).first_sent() == {
        (DEVICE, "kiosk", 7): 1,
        (DEVICE, "kiosk", 8): 3,
        (DEVICE, "rival", 7): 4,
        ("other", "kiosk", 7): 5,
    }


# -- what is asked of the service ----------------------------------------------------------


class Service:
    """Answers as a node does: pages of two sessions, and each first request of a path fails."""

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.asked: list[str] = []

    def http(self, port: int, method: str, path: str) -> tuple[int, Any, dict[str, str]]:
        assert (port, method) == (81, "GET")
        self.asked.append(path)
        if self.asked.count(path) == 1:
            return 503, {"code": "store_unavailable"}, {}
        if path.startswith("/api/v1/sessions?"):
            assert "state=all" in path
            at = int(path.partition("&cursor=%2B")[2] or 0)
            rows = [{"session_id": name, "rev": 1} for name in self.ids[at : at + 2]]
            return 200, {"sessions": rows, "next": f"+{at + 2}" if at + 2 < len(self.ids) else ""}, {}  # fmt: skip
        if path.endswith("/commands"):
            return 200, {"commands": [{"command_id": path}]}, {}
        return 200, {"path": path}, {}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service(["kiosk", "a/b", "brief-1", "many", "last"])
    monkeypatch.setattr(module, "http", made.http)
    return made


def test_all_pages_are_read_and_a_busy_node_is_asked_again(service: Service) -> None:
    rows = all_summaries(81, patiently)
    assert [row["session_id"] for row in rows] == service.ids


def test_node_that_gives_no_answer_ends_the_run_after_ten_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def http(port: int, method: str, path: str) -> Any:
        asked.append(path)
        raise TimeoutError if len(asked) % 2 else OSError(f"reset {len(asked)}")

    monkeypatch.setattr(module, "http", http)
    with pytest.raises(OSError, match="reset 10"):
        patiently(81, "/x")
    assert asked == ["/x"] * 10


LOG = """{"level": "info", "event": "ready"}
{"level": "error", "event": "no disk"}
{"level": "critical", "event": "the end"}
{"event": "without a level"}
Traceback (most recent call last):
[]
7
{"level": "warning", "event": "slow"}
last words"""


def system_in(folder: Path, log: str = LOG) -> Any:
    """A system of one node and one worker, which have left these logs, this Redis and this archive."""
    (folder / "archive").mkdir()
    (folder / "archive" / "kiosk.1.zst").write_bytes(b"x")
    client = fakeredis.FakeRedis(decode_responses=True)
    client.set(f"{TAG}session:a", "x", px=5000)
    client.zadd(f"{TAG}inactive", {"a": 1, "b": 2, "c": 3})
    client.zadd(f"{TAG}active", {"d": 1})
    client.hset(f"{TAG}archive_names", mapping={"kiosk": "kiosk.1.zst", "b": "b.1.zst"})
    client.zadd("muster:{1}:archived", {"e": 1})
    client.set("muster:meta", "x")
    processes = []
    for name in ("node 0", "worker 0"):
        (folder / name).write_text(log)
        processes.append(SimpleNamespace(name=name, log=folder / name, pid=len(name)))

    async def muster(*words: str) -> dict[str, Any]:
        return {"exit": 0, "words": words}

    node = SimpleNamespace(
        own_port=81, process=processes[0], gauges=lambda: {"connections": 3.0, "devices": 0.0}
    )
    return SimpleNamespace(
        nodes=[node],
        service=processes,
        client=client,
        archive=folder / "archive",
        muster=muster,
    )


def test_everything_that_the_checks_look_at_is_collected(tmp_path: Path, service: Service) -> None:
    evidence = Evidence(
        [
            Sent(1, "kiosk", "kiosk", "s1", 1, 1),
            Ordered(2, "anna", "a/b", "anna-1", 1),
            Put(3, "bo", "last", "bo-1", 0),
            BulkAsked(4, "bulk-1", 7, ["many", "unknown"]),
        ]
    )
    asyncio.run(collect(evidence, system_in(tmp_path)))
    assert [*evidence.summaries] == service.ids
    assert evidence.summaries["a/b"] == {"session_id": "a/b", "rev": 1}
    mine = {name: name.replace("/", "%2F") for name in ("kiosk", "a/b", "last", "many")}
    paths = {name: f"/api/v1/sessions/{quoted}" for name, quoted in mine.items()}
    assert evidence.sessions == {name: {"path": path} for name, path in paths.items()}
    assert evidence.commands == {
        name: [{"command_id": f"{path}/commands"}] for name, path in paths.items()
    }
    assert evidence.indexes == {
        TAG: {"active": ["d"], "inactive": ["a", "b", "c"], "archived": []},
        "muster:{1}:": {"active": [], "inactive": [], "archived": ["e"]},
    }
    ttl_ms = evidence.keys.pop(f"{TAG}session:a")
    assert 4000 < ttl_ms <= 5000
    of_tag = (f"{TAG}{name}" for name in ("inactive", "active", "archive_names"))
    assert evidence.keys == dict.fromkeys([*of_tag, "muster:{1}:archived", "muster:meta"], -1)
    assert evidence.files == {"kiosk.1.zst": True, "b.1.zst": False}
    assert evidence.verified == {"exit": 0, "words": ("archive", "verify")}
    noteworthy = [LOG.splitlines()[number] for number in (1, 2, 4, 5, 6, 8)]
    assert evidence.logs == {"node 0": noteworthy, "worker 0": noteworthy}
    assert evidence.patterns == documented_keys()


def test_key_that_ends_while_keys_are_listed_is_none(tmp_path: Path, service: Service) -> None:
    system = system_in(tmp_path)
    system.client.pttl = lambda name: -2 if name.endswith("meta") else -1
    evidence = Evidence([])
    asyncio.run(collect(evidence, system))
    assert "muster:meta" not in evidence.keys
    assert f"{TAG}active" in evidence.keys


def test_page_of_keys_says_which_have_a_ttl(tmp_path: Path) -> None:
    page = tmp_path / "redis.md"
    page.write_text(
        "| key | type | TTL | what |\n|---|---|---|---|\n"
        "| `P:<tag>session:<id>` | hash | `sessions.ttl_s` | it |\n"
        "| `P:{p}:active` | zset |  | all | more |\n"
        "| `other:x` | set | 5 s | not ours |\n"
        "text `P:y` | z | 5 s |\n"
        "| key | written by | read by |\n|---|---|---|\n| `P:{p}:active` | a node | every node |\n"
    )
    assert documented_keys(page) == {"P:<tag>session:<id>": True, "P:{p}:active": False}
    whole = documented_keys()
    assert set(whole.values()) == {True, False}
    assert len(whole) > 20


def test_what_processes_hold_is_measured_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module.psutil,
        "Process",
        lambda pid: SimpleNamespace(
            memory_info=lambda: SimpleNamespace(rss=pid << 20),
            num_fds=lambda: 10 + pid,
            num_threads=lambda: 20 + pid,
            children=lambda recursive: [0] * pid if recursive else [],
        ),
    )
    names = ("MiB of memory", "descriptors", "threads", "children")
    assert held(system_in(tmp_path)) == {
        "node 0": dict(zip(names, (6, 16, 26, 6), strict=True)) | {"connections": 3, "devices": 0},
        "worker 0": dict(zip(names, (8, 18, 28, 8), strict=True)),
    }
