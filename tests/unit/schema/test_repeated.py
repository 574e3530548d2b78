"""Fields that come twice in a request are refused, however they are written; in kept values the last one counts."""

from __future__ import annotations

import json
import time

import orjson
import pytest

from service.errors import InvalidRequest
from service.schema.repeated import check_repeated

REPEATED = [
    '{"dry_run":true,"dry_run":false}',
    '{"dry_run":true,"purge":true,"dry_run" : true}',
    '{"dry_run":true,"dry\\u005frun":false}',
    '{"filter":{"project_id":"a"},"command":"c","filter":{}}',
    '{"filter":{"project_id":"a","project_id":"b"}}',
    '{"scope":{"sessions":["a"],"sessions":["b"]}}',
    '{"a\\"b":1,"a\\"b":2}',
    "{" + ",".join(f'"{name}":1' for name in [*range(100), 0]) + "}",
]
ONCE = [
    "{}",
    "null",
    "[1,1]",
    '{"dry_run":true}',
    '{"command":"command","params":{"command":"params"}}',
    '{"setup":{"a":1,"a":2}}',
    '{"params":{"filter":{"a":1,"a":2}}}',
    '{"filter":["a","a"]}',
    '{"text":"\\u0041","name":"\\"name\\":1"}',
    "{" + ",".join(f'"{name}":1' for name in range(100)) + "}",
]


@pytest.mark.parametrize("text", REPEATED)
def test_repeated_field_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="given more than once"):
        check_repeated(text, orjson.loads(text))
    event = f'["send_command", {text}]'
    with pytest.raises(InvalidRequest, match="given more than once"):
        check_repeated(event, orjson.loads(event)[1], 1)


@pytest.mark.parametrize("text", ONCE)
def test_other_requests_pass(text: str) -> None:
    check_repeated(text, orjson.loads(text))
    event = f'["send_command",{text}]'
    check_repeated(event, orjson.loads(event)[1], 1)


def test_refusal_does_not_repeat_a_name_that_may_deceive() -> None:
    text = json.dumps({"a\u202eb": 1})[:-1] + ',"a\\u202eb":2}'
    with pytest.raises(InvalidRequest, match="a field: given more than once"):
        check_repeated(text, orjson.loads(text))


def test_long_digits_take_linear_time() -> None:
    text = '{"a":"a","b":' + "9" * 1_000_000 + "}"
    began = time.process_time()
    check_repeated(text, {"a": "a", "b": 0})
    assert time.process_time() - began < 1
