"""REST: data as one point per interval, wherever the session is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.archive.archive import Archive
from service.archive.file_store import FileArchiveStore
from service.archiving.archiver import Archiver
from service.manager import series
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest
from tests.support.nodes.stores import part


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix, history_default=4, history_keys={"t": 5000}) as made:
        made.store.ownership.create("d1")
        yield made


def fill(api: Rest, *samples: tuple[str, Any, float]) -> None:
    for number, (key, value, ts) in enumerate(samples):
        one = part("d1", None, (key, value), ts=ts)
        assert api.store.samples.append(0, f"w{number}", 1, [one])[0].word == "ok"


ASKED = "/sessions/d1/data?keys=t&keys=door&keys=none&step=10"


def test_points_come_by_time_with_how_far_back_they_go_also_from_the_archive(
    api: Rest, tmp_path: Path
) -> None:
    fill(api, ("t", 1, 100), ("t", 5, 111), ("t", 3, 109.9), ("door", "open", 105), ("t", 9, 95))
    expected = {
        "session_id": "d1",
        "data": {"t": [[9, 90], [2, 100], [5, 110]], "door": [], "none": []},
        "kept": {
            "t": {"oldest": 95, "samples": 4, "at_most": 5000},
            "door": {"oldest": 105, "samples": 1, "at_most": 4},
            "none": {"oldest": None, "samples": 0, "at_most": 4},
        },
        "setting": "sessions.history",
        "cut": [],
    }
    assert api.get(ASKED) == expected
    assert api.get(ASKED + "&agg=last&since=100&until=110")["data"] == {
        "t": [[3, 100]],
        "door": [["open", 100]],
        "none": [],
    }
    as_csv = api.ask("GET", ASKED + "&agg=count", headers={"Accept": "text/csv"}).text
    assert as_csv.splitlines()[1].startswith("t,90.0,")
    files = FileArchiveStore(tmp_path / "archive")
    files.open(files.claim())
    archiver = api.manager.core.archiver = Archiver(api.store, Archive(files))
    api.store.cleanup.deactivate(["d1"])
    assert archiver.archive_sessions(["d1"])[0].word == "archived"
    assert api.get(ASKED) == expected
    assert api.get("/sessions/d1")["state"] == "archived"


def test_samples_themselves_may_be_of_some_keys_and_before_a_time(api: Rest) -> None:
    fill(api, ("t", 1, 100), ("door", "open", 105), ("t", 2, 120), ("x", 0, 1))
    answer = api.get("/sessions/d1/data?keys=t&keys=door&until=110")
    assert answer["data"] == {"t": [[1, 100]], "door": [["open", 105]]}


@pytest.mark.parametrize(
    "query",
    [
        *("step=10", "keys=t&step=10&limit=5", "keys=t&agg=avg", "keys=t&step=10&agg=sum"),
        *("keys=t&step=nan", "keys=t&step=-1", "keys=t&step=1e9", "keys=t&step=4e-7&agg=count"),
        "step=1" + "".join(f"&keys={one}" for one in range(21)),
    ],
)
def test_what_makes_no_series_is_refused(api: Rest, query: str) -> None:
    problem(api.ask("GET", f"/sessions/d1/data?{query}"), 400, "invalid_request")


def test_answers_are_bounded_in_bytes_and_in_number(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api, *(("door", "x" * 1000, float(ts)) for ts in range(4)))
    monkeypatch.setattr(series, "MAX_BYTES", 3000)
    path = "/sessions/d1/data?keys=door&step=1&agg=last"
    problem(api.ask("GET", path), 413, "too_large")
    monkeypatch.setattr(series, "PATIENCE_S", 0.01)
    for _ in range(series.MAX_READING):
        api.manager.series._places.acquire()
    problem(api.ask("GET", path), 503, "overloaded")
    problem(api.ask("GET", "/sessions/d2/data?keys=t&step=1"), 503, "overloaded")
    for _ in range(series.MAX_READING):
        api.manager.series._places.release()
    problem(api.ask("GET", "/sessions/d2/data?keys=t&step=1"), 404, "session_not_found")


def test_samples_themselves_come_by_time_and_bounded(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api, ("t", 1, 100), ("t", 5, 111.25), ("t", 3, 109.9), ("t", 9, 95), ("door", "open", 105))
    asked = "/sessions/d1/data?keys=t&keys=door&step=0"
    found = api.get(asked)
    assert found["data"] == {
        "t": [[9, 95], [1, 100], [3, 109.9], [5, 111.25]],
        "door": [["open", 105]],
    }
    assert found["cut"] == []
    assert api.get(asked + "&since=100&until=110")["data"]["t"] == [[1, 100], [3, 109.9]]
    monkeypatch.setattr(series, "MAX_POINTS", 3)
    found = api.get(asked)
    assert (found["data"]["t"][0], found["cut"]) == ([1, 100], ["t"])
