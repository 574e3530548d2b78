"""REST: histories as JSON, CSV and NDJSON, streamed; telemetry."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from service import errors
from service.sessions.store import histories
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, path_of, rest
from tests.support.nodes.stores import part


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix, history_default=100_000) as made:
        yield made


numbers = itertools.count(1)


def fill(api: Rest, session_id: str, *samples: tuple[str, Any], ts: float = 1.5) -> None:
    partition = api.store.keys.partition(session_id)
    for begin in range(0, len(samples), 1000):
        some = part(session_id, None, *samples[begin : begin + 1000], ts=ts)
        [result] = api.store.samples.append(partition, "writer-0123456789", next(numbers), [some])
        assert result.word == "ok"


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_data_has_every_sample_oldest_first(api: Rest) -> None:
    session_id = api.create()
    fill(api, session_id, ("b", 1), ("a", {"x": [1, None]}), ("b", "ä"))
    answer = api.ask("GET", f"/sessions/{session_id}/data")
    assert answer.content_type == "application/json"
    assert answer.json == {
        "session_id": session_id,
        "data": {"a": [[{"x": [1, None]}, 1.5]], "b": [[1, 1.5], ["ä", 1.5]]},
    }
    assert api.get(f"/sessions/{session_id}/data/b")["data"] == {"b": [[1, 1.5], ["ä", 1.5]]}


def test_data_of_a_session_without_samples_is_empty(api: Rest) -> None:
    session_id = api.create()
    assert api.get(f"/sessions/{session_id}/data")["data"] == {}
    as_csv = api.ask("GET", f"/sessions/{session_id}/data", headers={"Accept": "text/csv"})
    assert rows_of(as_csv.text) == [["key", "ts", "time", "value"]]
    lines = api.ask(
        "GET", f"/sessions/{session_id}/data", headers={"Accept": "application/x-ndjson"}
    )
    assert lines.data == b""


def test_unknown_data_key_is_not_found(api: Rest) -> None:
    session_id = api.create()
    problem(api.ask("GET", f"/sessions/{session_id}/data/none"), 404, "key_not_found")


def test_limit_and_since_choose_samples_of_each_key(api: Rest) -> None:
    session_id = api.create()
    for i in range(10):
        fill(api, session_id, ("a", i), ("b", -i), ts=1_000 + i)
    url = f"/sessions/{session_id}/data"
    assert api.get(url + "?limit=2")["data"] == {
        "a": [[8, 1008], [9, 1009]],
        "b": [[-8, 1008], [-9, 1009]],
    }
    assert api.get(url + "/a?since=1007")["data"]["a"] == [[7, 1007], [8, 1008], [9, 1009]]
    assert api.get(url + "/a?since=1970-01-01T00:16:48Z")["data"]["a"] == [[8, 1008], [9, 1009]]
    assert api.get(url + "/a?since=1970-01-01T01:16:48%2B01:00")["data"]["a"][0] == [8, 1008]
    assert api.get(url + "/a?limit=2&since=0")["data"]["a"] == [[8, 1008], [9, 1009]]
    assert api.get(url + "/a?since=2000")["data"] == {"a": []}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "since=soon", "since=nan", "since=2026-13-01T00:00:00Z"]
)
def test_wrong_limit_or_since_is_refused(api: Rest, query: str) -> None:
    session_id = api.create()
    problem(api.ask("GET", f"/sessions/{session_id}/data?{query}"), 400, "invalid_request")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/ndjson", "application/x-ndjson"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/html, text/csv;q=0.5, application/json;q=0.1", "text/csv"),
        ("", "application/json"),
    ],
)
def test_accept_chooses_the_form(api: Rest, accept: str, kind: str) -> None:
    session_id = api.create()
    answer = api.ask("GET", f"/sessions/{session_id}/data", headers={"Accept": accept})
    assert answer.mimetype == kind
    assert answer.headers["Vary"] == "Accept"


def test_accept_of_nothing_we_have_is_406(api: Rest) -> None:
    session_id = api.create()
    answer = api.ask("GET", f"/sessions/{session_id}/data", headers={"Accept": "image/png"})
    problem(answer, 406, "invalid_request")


def test_ndjson_has_a_line_per_sample(api: Rest) -> None:
    session_id = api.create()
    fill(api, session_id, ("a\nb", "x\ny"), ("c", 1))
    answer = api.ask(
        "GET", f"/sessions/{session_id}/data", headers={"Accept": "application/x-ndjson"}
    )
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"key": "a\nb", "value": "x\ny", "ts": 1.5},
        {"key": "c", "value": 1, "ts": 1.5},
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\r=1", "'\r'=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("a;=1+1", "a;'=1+1"),
        ("a\n=1+1", "a\n'=1+1"),
        ('"=1', '"=1'),
        ("a=1", "a=1"),
        (-5, "-5"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        ({"a": "=1"}, '{"a":"=1"}'),
        (["-1"], '["-1"]'),
    ],
)  # fmt: skip
def test_csv_cells_cannot_become_formulas(api: Rest, value: Any, cell: str) -> None:
    session_id = api.create()
    fill(api, session_id, ("=key", value), ts=0.25)
    answer = api.ask("GET", f"/sessions/{session_id}/data", headers={"Accept": "text/csv"})
    [head, row] = csv.reader(io.StringIO(answer.text, newline=""))
    assert head == ["key", "ts", "time", "value"]
    assert row == ["'=key", "0.25", "1970-01-01T00:00:00.250Z", cell]


def test_long_histories_come_in_pages_and_whole(api: Rest) -> None:
    session_id = api.create()
    fill(
        api,
        session_id,
        *[("a", i) for i in range(5_000)],
        *[("b", "x" * 2_000) for _ in range(500)],
    )
    shown = api.get(f"/sessions/{session_id}/data")["data"]
    assert [value for value, _ in shown["a"]] == list(range(5_000))
    assert len(shown["b"]) == 500
    whole = api.get(f"/sessions/{session_id}")
    assert whole["data"] == shown
    some = api.get(f"/sessions/{session_id}/data/a?limit=1500")["data"]["a"]
    assert [value for value, _ in some] == list(range(3_500, 5_000))


def test_history_while_it_is_pushed_and_trimmed_has_no_gap(redis_url: str, key_prefix: str) -> None:
    """The oldest samples go while somebody reads: what is left comes once, in order."""
    with rest(redis_url, key_prefix, history_default=3_000) as api:
        session_id = api.create()
        fill(api, session_id, *[("a", i) for i in range(3_000)])
        seen: list[int] = []
        for page, samples in enumerate(api.store.histories.read(session_id, "a")):
            seen += [json.loads(sample)[0] for sample in samples]
            if page < 4:
                fill(api, session_id, *[("a", 3_000 + page * 700 + i) for i in range(700)])
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert seen[-1] >= 5_799


def test_history_of_samples_that_are_all_alike_ends(api: Rest) -> None:
    session_id = api.create()
    fill(api, session_id, *[("a", 1) for _ in range(4_321)])
    assert len(api.get(f"/sessions/{session_id}/data/a")["data"]["a"]) == 4_321


def test_stream_holds_a_page_not_a_history(api: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is handed on piece by piece, each as large as a page of the store at most."""
    monkeypatch.setattr(histories, "PAGE_BYTES", 8_192)
    session_id = api.create()
    fill(api, session_id, *[("a", "x" * 1_000) for _ in range(2_000)])
    response = api.client.get(f"/api/v1{path_of(session_id)}/data", buffered=False)
    sizes = [len(piece) for piece in response.response]
    assert sum(sizes) > 2_000_000
    assert max(sizes) < 100_000
    response.close()


def test_stream_that_loses_redis_breaks_off(api: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a complete-looking answer that is not complete."""
    session_id = api.create()
    fill(api, session_id, *[("a", i) for i in range(3_000)])
    real = api.store.histories.read

    def fails_later(*args: Any) -> Iterator[list[str]]:
        yield next(iter(real(*args)))
        raise errors.StoreUnavailable

    monkeypatch.setattr(api.store.histories, "read", fails_later)
    with pytest.raises(errors.StoreUnavailable):
        _ = api.client.get(f"/api/v1/sessions/{session_id}/data").data


def test_telemetry_keeps_the_other_keys(api: Rest) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}"
    first = api.ask("POST", url + "/telemetry", {"telemetry": {"a": 1, "b": [2]}})
    assert first.status_code == 200
    second = api.ask("POST", url + "/telemetry", {"telemetry": {"a": 3}})
    assert second.json["rev"] == first.json["rev"] + 1
    assert api.get(url)["telemetry"] == {"a": 3, "b": [2]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"telemetry": {}}, 400, "invalid_request"),
        ({"telemetry": [1]}, 400, "invalid_request"),
        ({"telemetry": {"": 1}}, 400, "invalid_request"),
        ({"telemetry": {"a\u0000": 1}}, 400, "invalid_request"),
        ({"telemetry": {"a": "x" * 70_000}}, 413, "too_large"),
        ({"telemetry": {f"k{i}": i for i in range(1_001)}}, 413, "too_large"),
    ],
)
def test_wrong_telemetry_is_refused(api: Rest, body: Any, status: int, code: str) -> None:
    session_id = api.create()
    problem(api.ask("POST", f"/sessions/{session_id}/telemetry", body), status, code)
    assert api.get(f"/sessions/{session_id}")["telemetry"] == {}
