"""REST: where a time that is asked for ends, which keys are cut, and that an answer is bounded as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.manager import series
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest
from tests.support.nodes.stores import part


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix, history_default=9) as made:
        made.store.ownership.create("d1")
        for number in range(5):
            one = part("d1", None, ("t", number), ("door", "x" * 100), ts=100.0 + number)
            assert made.store.samples.append(0, f"w{number}", 1, [one])[0].word == "ok"
        yield made


@pytest.mark.parametrize("form", ["", "&step=0", "&step=1&agg=last"], ids=["raw", "step=0", "step"])
def test_time_is_from_since_on_and_before_until(api: Rest, form: str) -> None:
    found = api.get(f"/sessions/d1/data?keys=t&since=101&until=103{form}")["data"]["t"]
    assert found == [[1, 101.0], [2, 102.0]]


def test_keys_of_which_there_is_more_are_named(api: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    one = part("d1", None, ("other", 1), ts=100.0)
    assert api.store.samples.append(0, "w9", 1, [one])[0].word == "ok"
    monkeypatch.setattr(series, "MAX_POINTS", 3)
    found = api.get("/sessions/d1/data?keys=other&keys=t&step=1&agg=last")
    assert (len(found["data"]["t"]), found["cut"]) == (3, ["t"])


def test_answer_is_bounded_as_a_whole_and_a_refusal_gives_its_place_back(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MAX_BYTES", 580)  # the points of `door` alone have 556
    monkeypatch.setattr(series, "PATIENCE_S", 0.01)
    api.get("/sessions/d1/data?keys=door&step=1&agg=last")
    for _ in range(series.MAX_READING + 1):
        answer = api.ask("GET", "/sessions/d1/data?keys=door&keys=t&step=1&agg=last")
        problem(answer, 413, "too_large")
