"""REST: gzip of answers and bodies, and UTF-8 with a byte order mark."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.api.data.test_data import fill
from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest

GZIP = {"Accept-Encoding": "gzip, deflate, br"}


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix, history_default=5_000) as made:
        yield made


def put(api: Rest, session_id: str, body: bytes, **options: Any) -> Any:
    options = {"content_type": "application/json", **options}
    return api.client.put(f"/api/v1/sessions/{session_id}/setup", data=body, **options)


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "application/x-ndjson"])
def test_answer_is_compressed_where_that_is_asked_for(api: Rest, accept: str) -> None:
    session_id = api.create()
    fill(api, session_id, *[("speed", i) for i in range(3_000)])
    url = f"/sessions/{session_id}/data"
    plain = api.ask("GET", url, headers={"Accept": accept})
    packed = api.ask("GET", url, headers={"Accept": accept, **GZIP})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content_type == plain.content_type
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 2
    for answer in (plain, packed):
        assert {"Accept", "Accept-Encoding"} <= set(answer.headers.getlist("Vary"))


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip;q=0, identity"}])
def test_answer_is_plain_where_gzip_is_not_asked_for(api: Rest, headers: dict[str, str]) -> None:
    session_id = api.create()
    put(api, session_id, json.dumps({"setup": "x" * 9_000}).encode())
    answer = api.ask("GET", f"/sessions/{session_id}/setup", headers=headers)
    assert "Content-Encoding" not in answer.headers
    assert "accept-encoding" in answer.vary


def test_short_answer_and_error_are_not_compressed(api: Rest) -> None:
    session_id = api.create()
    for path in (f"/sessions/{session_id}/setup", "/sessions/none"):
        assert "Content-Encoding" not in api.ask("GET", path, headers=GZIP).headers


def test_tag_of_a_compressed_answer_is_another_one_and_works_everywhere(api: Rest) -> None:
    session_id = api.create()
    url = f"/sessions/{session_id}/setup"
    put(api, session_id, json.dumps({"setup": "x" * 9_000}).encode())
    plain, packed = api.ask("GET", url), api.ask("GET", url, headers=GZIP)
    assert int(packed.headers["Content-Length"]) == len(packed.data) < 1_000
    tags = plain.headers["ETag"], packed.headers["ETag"]
    assert tags == ('"1"', '"1-gzip"')
    for tag in tags:
        same = api.ask("GET", url, headers={"If-None-Match": tag, **GZIP})
        assert (same.status_code, same.headers["ETag"], same.data) == (304, tag, b"")
    assert api.ask("PUT", url, {"setup": 2}, headers={"If-Match": tags[1]}).status_code == 200
    problem(api.ask("PUT", url, {"setup": 3}, headers={"If-Match": tags[1]}), 412, "precondition_failed")  # fmt: skip
    whole = f"/sessions/{session_id}"
    put(api, session_id, json.dumps({"setup": "x" * 9_000}).encode())
    tag = api.ask("GET", whole, headers=GZIP).headers["ETag"]
    assert tag.endswith('-gzip"')
    assert api.ask("GET", whole, headers={"If-None-Match": tag}).status_code == 304
    assert api.ask("DELETE", whole, headers={"If-Match": tag}).status_code == 204


def test_long_answer_lets_others_run_while_it_is_compressed(
    api: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[float] = []
    session_id = api.create()
    put(api, session_id, json.dumps({"setup": list(range(12_000))}).encode())
    monkeypatch.setattr("service.api.compression.time.sleep", turns.append)
    monkeypatch.setattr("service.api.compression.PIECE_BYTES", 4_096)
    answer = api.ask("GET", f"/sessions/{session_id}/setup", headers=GZIP)
    assert len(turns) == -(-len(gzip.decompress(answer.data)) // 4_096)


# -- bodies


def test_body_may_be_gzip(api: Rest) -> None:
    session_id = api.create()
    for coding in ("gzip", "GZIP", "x-gzip"):
        answer = put(
            api, session_id, gzip.compress(b'{"setup": [1]}'), headers={"Content-Encoding": coding}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json["setup"] == [1]


def test_body_may_begin_with_a_byte_order_mark(api: Rest) -> None:
    session_id = api.create()
    assert put(api, session_id, b'\xef\xbb\xbf{"setup": "\xc3\xa9"}').json["setup"] == "é"
    utf_16 = put(api, session_id, '{"setup": 1}'.encode("utf-16"))
    problem(utf_16, 400, "invalid_request")
    packed = gzip.compress(b'\xef\xbb\xbf{"setup": 2}')
    assert put(api, session_id, packed, headers={"Content-Encoding": "gzip"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "coding", "status", "code"),
    [
        (
            lambda: gzip.compress(b'{"setup": "' + b"x" * (64 << 20) + b'"}'),
            "gzip",
            413,
            "too_large",
        ),
        (lambda: gzip.compress(b'{"setup": 1}')[:-4], "gzip", 400, "invalid_request"),
        (lambda: gzip.compress(b'{"setup": 1}') + b"x", "gzip", 400, "invalid_request"),
        (lambda: gzip.compress(b'{"setup": 1}') * 2, "gzip", 400, "invalid_request"),
        (lambda: b'{"setup": 1}', "gzip", 400, "invalid_request"),
        (lambda: zlib.compress(b'{"setup": 1}'), "deflate", 415, "invalid_request"),
        (lambda: b'{"setup": 1}', "br", 415, "invalid_request"),
        (
            lambda: gzip.compress(gzip.compress(b'{"setup": 1}')),
            "gzip, gzip",
            415,
            "invalid_request",
        ),
        (lambda: gzip.compress(b'{"setup": 1}'), "identity", 400, "invalid_request"),
    ],
)
def test_body_in_another_coding_is_refused(
    api: Rest, body: Callable[[], bytes], coding: str, status: int, code: str
) -> None:
    session_id = api.create()
    answer = put(api, session_id, body(), headers={"Content-Encoding": coding})
    problem(answer, status, code)
    assert api.get(f"/sessions/{session_id}/setup")["setup_version"] == 0
