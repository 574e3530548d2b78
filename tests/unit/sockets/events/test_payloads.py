"""What clients send: samples and models, with hostile values of every kind."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.schema import limits, names
from service.sockets.events import payloads
from service.sockets.events.payloads import parse_telemetry, parse_update

NOW_S = 1_700_000_000.123456

#: Every JSON value: what a strict parser makes of JSON text.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
keys = st.text(min_size=1, max_size=60).filter(names.is_name)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# --- samples


@given(keys, values)
def test_parse_update_encodes_once_what_redis_and_dashboards_get(key: str, value: Any) -> None:
    """Both encodings are strict JSON of the same key, value and time."""
    got = parse_update({"key": key, "value": value, "ts": 5, "seq": 3}, NOW_S)
    (sample,) = got.samples
    assert orjson.loads(sample[1]) == [value, 5]
    assert orjson.loads(sample[2]) == [key, value, 5]
    assert (sample[0], got.seq, got.bytes_in) == (key, 3, len(sample[2]))


@given(st.dictionaries(keys, values, min_size=1, max_size=5), st.floats(0, 4e9))
def test_parse_update_of_data_makes_a_sample_per_key(data: dict[str, Any], ts: float) -> None:
    got = parse_update({"data": data, "ts": ts}, NOW_S)
    assert [orjson.loads(s[2]) for s in got.samples] == [[k, v, ts] for k, v in data.items()]
    assert got.seq is None


def test_parse_update_of_samples_keeps_each_time_and_the_order() -> None:
    rows = [["a", 1, 10], ["b", 2], ["a", 3, None], ["a", 4, 12.5]]
    got = parse_update({"samples": rows, "ts": 11}, NOW_S)
    assert [orjson.loads(s[2]) for s in got.samples] == [
        ["a", 1, 10],
        ["b", 2, 11],
        ["a", 3, 11],
        ["a", 4, 12.5],
    ]


def test_parse_update_without_ts_takes_redis_time_in_ms() -> None:
    got = parse_update({"key": "a", "value": None}, NOW_S)
    assert got.samples[0][1] == b"[null,1700000000.123]"


def test_parse_telemetry_is_an_update_of_several_keys() -> None:
    got = parse_telemetry({"telemetry": {"a": 1, "b": [2]}, "seq": 1, "ts": 2}, NOW_S)
    assert [s[2] for s in got.samples] == [b'["a",1,2]', b'["b",[2],2]']
    assert got.seq == 1


@pytest.mark.parametrize(
    "payload",
    [
        *(None, [], "x", 1, True, {}),
        {"key": "a"},
        {"value": 1},
        {"key": "a", "value": 1, "data": {}},
        {"value": 1, "data": {"a": 1}},  # `value` would be lost
        {"value": 1, "samples": [["a", 1]]},
        {"data": {"a": 1}, "samples": []},
        *({"key": key, "value": 1} for key in (None, 1, True, [], {}, "", "a\n", "\x00", "\x7f")),
        {"key": "x" * 257, "value": 1},
        {"key": "é" * 129, "value": 1},
        {"key": "\x85", "value": 1},
        *({"data": data} for data in (None, [], "x", {}, {"": 1}, {"a\x00": 1})),
        *({"samples": rows} for rows in (None, {}, "x", [], [1], [["a"]], [["a", 1, 2, 3]], [[]])),
        *({"samples": [row]} for row in (["a", 1, "2"], ["a", 1, True], [1, 1], ["", 1])),
        *({"key": "a", "value": 1, "ts": ts} for ts in ("1", True, -1, 1e12, [], {}, 2**63)),
        *({"key": "a", "value": 1, "ts": ts} for ts in (math.nan, math.inf)),
        *(
            {"key": "a", "value": 1, "seq": seq}
            for seq in (0, -1, 1.5, "1", True, 2**53, [], 1e300, 0.0)
        ),
        {"key": "a", "value": nested(33)},
        {"key": "a", "value": {"a": nested(32)}},
        {"data": {"a": 1, "b": nested(200)}},
        {"samples": [["a", nested(250)]]},
    ],
    ids=lambda payload: repr(payload)[:60],
)
def test_parse_update_of_another_form_is_an_invalid_request(payload: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        parse_update(payload, NOW_S)


@pytest.mark.parametrize("payload", [None, [], {}, {"telemetry": [1]}, {"telemetry": {}}])
def test_parse_telemetry_of_another_form_is_an_invalid_request(payload: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        parse_telemetry(payload, NOW_S)


def test_parse_update_takes_32_levels() -> None:
    parse_update({"key": "a", "value": nested(32)}, NOW_S)


@pytest.mark.parametrize(
    ("value", "is_allowed"),
    [("x" * 98, True), ("x" * 99, False), ("é" * 49, True), ("é" * 50, False), (["x"] * 25, False)],
)
def test_parse_update_bounds_a_value_by_its_json_bytes(value: Any, is_allowed: bool) -> None:
    payload = {"key": "k" * 200, "value": value, "ts": 1234567890.123}
    if is_allowed:
        parse_update(payload, NOW_S, 100)
    else:
        with pytest.raises(errors.TooLarge) as caught:
            parse_update(payload, NOW_S, 100)
        assert caught.value.fields == {"max_bytes": 100}


def test_parse_update_bounds_the_number_of_samples() -> None:
    parse_update({"samples": [["a", 1]] * 2000}, NOW_S)
    with pytest.raises(errors.TooLarge):
        parse_update({"samples": [["a", 1]] * 2001}, NOW_S)
    with pytest.raises(errors.TooLarge):
        parse_update({"data": {str(n): n for n in range(2001)}}, NOW_S)


@given(values)
def test_parse_update_of_any_json_raises_service_errors_only(payload: Any) -> None:
    try:
        parse_update(payload, NOW_S)
        parse_telemetry(payload, NOW_S)
    except (errors.InvalidRequest, errors.TooLarge):
        pass


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("key", "value", "data", "samples", "seq", "ts", "telemetry", "device_id"), values
        ),
    )
)
def test_parse_update_of_known_fields_with_any_values_raises_service_errors_only(
    payload: dict[str, Any],
) -> None:
    try:
        got = parse_update(payload, NOW_S)
    except (errors.InvalidRequest, errors.TooLarge):
        return
    for sample in got.samples:
        assert names.is_name(sample[0])
        json.loads(sample[2])


# --- models

MODELS = sorted(
    {model for models in payloads.CLIENT_EVENTS.values() for model in models},
    key=lambda model: model.__name__,
)


@pytest.mark.parametrize("model", MODELS)
@given(payload=values)
def test_model_of_any_json_raises_service_errors_only(model: Any, payload: Any) -> None:
    try:
        model.parse(payload)
    except (errors.InvalidRequest, errors.TooLarge):
        pass


@pytest.mark.parametrize("model", MODELS)
@given(data=st.data())
def test_model_of_known_fields_with_any_values_raises_service_errors_only(
    model: Any, data: st.DataObject
) -> None:
    names = [*model.model_fields, "device_id", "extra"]
    payload = data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, values)))
    try:
        model.parse(payload)
    except (errors.InvalidRequest, errors.TooLarge) as error:
        assert len(error.message) < 1000


@pytest.mark.parametrize("model", [payloads.OneSession, payloads.SendCommand, payloads.Register])
@pytest.mark.parametrize("field", ["device_id", "session_id"])
def test_device_id_and_session_id_are_the_same_field(model: Any, field: str) -> None:
    more = {"command": "c"} if model is payloads.SendCommand else {}
    assert model.parse({field: "d 1/ü", **more}).session_id == "d 1/ü"


def test_both_ids_may_be_given_when_they_agree() -> None:
    both = {"device_id": "a", "session_id": "a"}
    assert payloads.OneSession.parse(both).session_id == "a"
    assert payloads.OneSession.parse({**both, "device_id": None}).session_id == "a"
    with pytest.raises(errors.InvalidRequest, match="same field"):
        payloads.OneSession.parse({**both, "device_id": "b"})


@pytest.mark.parametrize(
    "session_id",
    [
        "",
        "x" * 257,
        "é" * 129,
        "a\nb",
        "\x00",
        "\r\nFAKE log line",
        "\x7f",
        "\x9b",
        "a\u2028b",
        "a\u2029b",
        "\u202e",
        "\u2066",
        1,
        True,
        [],
    ],
)
def test_id_of_another_form_is_an_invalid_request_that_does_not_repeat_it(session_id: Any) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        payloads.Register.parse({"device_id": session_id})
    assert "FAKE" not in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "session_id",
    ["../../etc/passwd", "a/b", "CON", "🚚", "<img onerror=1>", "%00", "a b", "x" * 256, "é" * 128],
)
def test_odd_but_legal_ids_are_taken_as_they_are(session_id: str) -> None:
    assert payloads.Register.parse({"device_id": session_id}).session_id == session_id


def test_names_of_fields_that_a_client_made_up_are_not_repeated() -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        payloads.Register.parse({"meta": {"<b>\r\n": nested(40)}})
    assert "<b>" not in caught.value.message


def test_register_without_payload_is_a_new_session() -> None:
    register = payloads.Register.parse(None)
    assert (register.session_id, register.stream, register.meta) == (None, "", None)


def test_register_meta_is_bounded() -> None:
    with pytest.raises(errors.TooLarge):
        payloads.Register.parse({"meta": {"a": "x" * limits.MAX_META_BYTES}})


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"setup": {}, "reported_version": 1},
        {"reported_version": -1},
        {"reported_version": True},
        {"reported_version": 1.5},
        {"setup": nested(33)},
        {"setup": 1, "version": "1"},
    ],
)
def test_device_setup_of_another_form_is_an_invalid_request(payload: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        payloads.DeviceSetup.parse(payload)


def test_device_setup_may_be_any_document() -> None:
    assert payloads.DeviceSetup.parse({"setup": None}).setup is None
    assert payloads.DeviceSetup.parse({"setup": nested(32)}).version is None
    assert payloads.DeviceSetup.parse({"reported_version": 0}).reported_version == 0


def test_setup_edit_is_a_setup_or_a_patch() -> None:
    assert not payloads.SetupEdit.parse({"session_id": "s", "setup": None}).is_patch
    assert payloads.SetupEdit.parse({"session_id": "s", "patch": {"a": None}}).is_patch
    for wrong in ({"session_id": "s"}, {"session_id": "s", "setup": 1, "patch": 1}, {"setup": 1}):
        with pytest.raises(errors.InvalidRequest):
            payloads.SetupEdit.parse(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"batch": value} for value in (1, "true", None)),
        *({"interval_ms": value} for value in (0, 9, 60_001, 50.5, "50", True)),
        {"cursor": 1},
        {"page": 1},
    ],
)
def test_register_vue_of_another_form_is_an_invalid_request(wrong: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        payloads.RegisterVue.parse(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": ""},
        {"command": 1},
        {"command": "a\n"},
        *({"ttl_s": value} for value in (-1, "1", True, math.nan, math.inf, 1e9)),
        *({"timeout_s": value} for value in (0, -1, 3601, math.nan, math.inf)),
        {"wait": "never"},
        {"idempotency_key": ""},
        {"params": nested(33)},
    ],
)
def test_send_command_of_another_form_is_an_invalid_request(wrong: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        payloads.SendCommand.parse({"device_id": "d", "command": "c", **wrong})


def test_send_command_has_the_defaults_of_the_protocol() -> None:
    command = payloads.SendCommand.parse({"device_id": "d", "command": "reboot"})
    assert (command.params, command.ttl_s, command.wait) == (None, None, "queued")
    assert payloads.SendCommand.parse({"device_id": "d", "command": "c", "ttl_s": 0}).ttl_s == 0


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 501}, {"limit": "5"}, {"q": 5}])
def test_list_sessions_of_another_form_is_an_invalid_request(wrong: Any) -> None:
    with pytest.raises(errors.InvalidRequest):
        payloads.ListSessions.parse(wrong)


def test_command_result_needs_an_id_and_a_fate() -> None:
    result = payloads.CommandResult.parse({"command_id": "c", "ok": False, "error": {"a": 1}})
    assert (result.ok, result.result, result.error) == (False, None, {"a": 1})
    for wrong in ({"command_id": "c"}, {"ok": True}, {"command_id": "c", "ok": 1}):
        with pytest.raises(errors.InvalidRequest):
            payloads.CommandResult.parse(wrong)


# --- JSON Schema, of which the AsyncAPI description is made later


@pytest.mark.parametrize("model", MODELS)
def test_model_has_a_json_schema(model: Any) -> None:
    assert model.model_json_schema()["type"] == "object"
