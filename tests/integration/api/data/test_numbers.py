"""REST and CSV: long integers, times, and names in both Unicode normal forms."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest

from tests.integration.api.data.test_data import fill
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest

LONG = b"18446744073709551616"


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("PUT", "setup", b'{"setup": {"id": %s}}', "setup.id"),
        ("PATCH", "setup", b'{"id": %s}', "id"),
        ("PATCH", "setup", b"%s", "payload"),
        ("POST", "telemetry", b'{"telemetry": {"id": [%s]}}', "telemetry.id.0"),
        ("POST", "commands", b'{"command": "c", "params": %s}', "params"),
    ],
)
def test_integer_that_would_lose_digits_is_refused(
    api: Rest, method: str, path: str, body: bytes, place: str
) -> None:
    url = f"/api/v1/sessions/{api.create()}/{path}"
    options = {"method": method, "content_type": "application/json"}
    told = problem(api.client.open(url, data=body % LONG, **options), 400, "invalid_request")
    assert told["message"].startswith(f"`{place}`")
    most = api.client.open(url, data=body % b"18446744073709551615", **options)
    assert most.status_code in (200, 202), most.text


def test_sample_of_1970_has_its_time_in_csv(api: Rest) -> None:
    session_id = api.create()
    fill(api, session_id, ("a", 1), ts=0)
    text = api.ask("GET", f"/sessions/{session_id}/data", headers={"Accept": "text/csv"}).text
    assert list(csv.reader(io.StringIO(text)))[1] == ["a", "0", "1970-01-01T00:00:00.000Z", "1"]


def test_since_in_milliseconds_is_refused(api: Rest) -> None:
    answer = api.ask("GET", f"/sessions/{api.create()}/data?since=1795163523512")
    assert "milliseconds" in problem(answer, 400, "invalid_request")["message"]


def test_q_finds_a_name_in_both_normal_forms(api: Rest) -> None:
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    made = {api.create(session_name=composed), api.create(session_name=decomposed)}
    for q in (composed, decomposed, "CAF\u00c9", "caf"):
        found = api.ask("GET", "/sessions", query_string={"q": q}).json["sessions"]
        assert {one["session_id"] for one in found} == made, q
    assert api.ask("GET", "/sessions", query_string={"q": "cafe"}).json["sessions"] == []
