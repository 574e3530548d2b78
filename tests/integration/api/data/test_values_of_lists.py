"""REST: lists of sessions with the latest values of some data keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.sessions import latest_values
from tests.support.clients.rest import Rest, path_of, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix, partitions=3) as made:
        yield made


def report(api: Rest, session_id: str, **values: Any) -> None:
    assert (
        api.ask("POST", path_of(session_id) + "/telemetry", {"telemetry": values}).status_code < 300
    )


def test_sessions_have_the_latest_values_of_the_keys_that_were_asked_for(api: Rest) -> None:
    one, other = api.create(session_name="one"), api.create(session_name="other")
    report(api, one, temp=20, door="open", n=1)
    report(api, one, temp=21)
    found = api.get("/sessions?values=temp&values=door&values=none")["sessions"]
    values = {session["session_id"]: session["values"] for session in found}
    assert {key: value for key, (value, _) in values[one].items()} == {"temp": 21, "door": "open"}
    assert values[other] == {}
    assert "values" not in api.get("/sessions")["sessions"][0]


def test_page_of_large_values_is_shorter_and_no_session_is_left_out(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_values, "PAGE_BYTES", 4_000)
    made = [api.create(session_name=f"s{number}") for number in range(25)]
    for session_id in made:
        report(api, session_id, big="x" * 900)
    seen: list[str] = []
    cursor = ""
    for _ in range(25):
        page = api.get(f"/sessions?values=big&q=s&limit=20{cursor}")
        assert len(page["sessions"]) <= 4
        assert all(len(one["values"]["big"][0]) == 900 for one in page["sessions"])
        seen += [one["session_id"] for one in page["sessions"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(seen) == sorted(made)


@pytest.mark.parametrize("query", ["&".join(f"values={n}" for n in range(21)), "q=a&q=b"])
def test_too_many_keys_and_parameters_given_twice_are_refused(api: Rest, query: str) -> None:
    answer = api.ask("GET", f"/sessions?{query}")
    assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")
