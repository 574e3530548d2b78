"""What is written twice says the same: in Lua and in Python, written out for speed and plainly.

Each double has a test here, so that whoever changes one of the two hears of the other.
"""

from __future__ import annotations

import inspect
import re
from types import SimpleNamespace
from typing import Any

import hiredis
import orjson
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from service import errors
from service.live.feed.entries import escape_project
from service.live.ingest.backpressure import Backpressure
from service.live.ingest.ingest import Ingest
from service.live.ingest.pending import PendingUpdates
from service.live.ownership.owned import OwnedSession, OwnedSessions
from service.live.standing import Standing
from service.observability.metrics import Metrics
from service.protocol import frames
from service.schema import samples
from service.schema.limits import CALL_SESSIONS
from service.schema.samples import parse_update
from service.sessions import model
from service.sessions.store import captures
from service.sessions.store import samples as sample_store
from service.sessions.store.keys import Keys
from service.sessions.store.scripts import LUA_DIR, shared_statements
from service.sessions.store.store import RedisSessionStore
from service.sockets.devices import Devices
from service.sockets.dispatch import Dispatcher
from service.tasks import ThreadTasks
from tests.support.nodes.stores import make_store

SHARED = "".join(statement.source for statement in shared_statements())
#: Ids, data keys and projects that a script could take for something else.
AWKWARD = [
    "a",
    "a:b",
    "%",
    "%25",
    "a%3Ab",
    "é日",
    "|",
    "a|b%7C",
    ".",
    "-",
    "*",
    "^$()[]",
    "\x00",
    " ",
]


@pytest.fixture
def store(redis_client: redis.Redis, key_prefix: str) -> RedisSessionStore:
    return make_store(redis_client, key_prefix, ttl_ms=60_000)


def lua(store: RedisSessionStore, text: str, *args: Any) -> Any:
    """What this text returns behind what all scripts share."""
    keys = [store.keys.tag(0)]
    return store.runner.client.eval(SHARED + text, 1, *keys, 60_000, 120_000, 1 << 20, *args, "{}")


def text_of(name: str) -> str:
    [path] = LUA_DIR.rglob(f"{name}.lua")
    return path.read_text()


# -- Lua = Python


def test_fields_of_a_summary(store: RedisSessionStore) -> None:
    assert tuple(lua(store, "return SUMMARY")) == model.SUMMARY_FIELDS


def test_final_statuses_of_a_command(store: RedisSessionStore) -> None:
    found = lua(
        store,
        "local found = {} for one in pairs(FINAL) do found[#found + 1] = one end return found",
    )
    assert set(found) == model.FINAL_STATUSES


def test_keys_of_a_session_and_their_names(store: RedisSessionStore) -> None:
    """All that get their TTL together; histories and what is about registers and requests have their own."""
    kinds = set(lua(store, "return KINDS"))
    named = {
        name
        for name, method in inspect.getmembers(Keys, inspect.isfunction)
        if list(inspect.signature(method).parameters) == ["self", "session_id"]
    }
    assert kinds == named - {"kicked", "partition", "registers", "tombstone", "waiting"}
    for kind in kinds:
        for session_id in AWKWARD:
            name = getattr(store.keys, kind)(session_id)
            assert lua(store, "return key(ARGV[4], ARGV[5])", kind, session_id) == name


def test_names_of_histories(store: RedisSessionStore) -> None:
    for session_id in AWKWARD:
        for data_key in AWKWARD:
            name = store.keys.history(session_id, data_key)
            assert lua(store, "return history_key(ARGV[4], ARGV[5])", session_id, data_key) == name


def test_states(store: RedisSessionStore) -> None:
    """Every state that a script writes is one that Python knows."""
    written = {
        state
        for path in LUA_DIR.rglob("*.lua")
        for state in re.findall(r"'HSET'[^\n]*'state', '(\w+)'", path.read_text())
    }
    assert written == {model.ACTIVE, model.INACTIVE, model.ARCHIVED}


def test_length_of_a_timeline(store: RedisSessionStore) -> None:
    lua(store, f"for _ = 1, {model.TIMELINE_EVENTS + 9} do event('d', 'x') end")
    assert store.runner.client.llen(store.keys.timeline("d")) == model.TIMELINE_EVENTS


def test_sessions_that_one_renewal_names(store: RedisSessionStore) -> None:
    ids = [f"d{number}" for number in range(CALL_SESSIONS + 9)]
    store.runner.client.sadd(store.keys.pending(0, "n-a"), *ids)
    [renewal] = store.ownership.renew("n-a")
    assert len(renewal.pending) == CALL_SESSIONS


def test_words_that_append_answers_with() -> None:
    words = set(re.findall(r"answer = '(\w)'", text_of("append")))
    meant = {
        word: sample_store._append_results(word + ("7" if word == "c" else ""))[0].word
        for word in words
    }
    assert meant == {
        "m": "missing",
        "s": "stale",
        "c": "conflict",
        "k": "too_many_keys",
        "b": "too_large",
    }


def test_projects_in_entries_of_samples(store: RedisSessionStore) -> None:
    escaping = re.search(r"string\.gsub\(project, (.*)\) end\n", text_of("append"))
    assert escaping is not None
    for project in AWKWARD:
        found = lua(store, f"return (string.gsub(ARGV[4], {escaping[1]}))", project)
        assert found.encode() == escape_project(project)


# -- written out = plain

payloads = st.lists(
    st.dictionaries(
        st.sampled_from("abc"), st.integers(-99, 2**63) | st.text(max_size=99), min_size=1
    ),
    min_size=1,
    max_size=9,
)


@given(payloads)
def test_ingest_buffers_as_slots_and_loads_do(events: list[dict[str, Any]]) -> None:
    owned, plain = OwnedSession("d", "s", 0, 1), OwnedSession("d", "s", 0, 1)
    nothing: Any = lambda *given: None  # noqa: E731
    ingest = Ingest(
        nothing, OwnedSessions(), ThreadTasks(), Standing(1.0), "n", flush_interval_s=1.0,
        reconciler=nothing, answers=nothing, sockets=nothing, metrics=nothing,
    )  # fmt: skip
    load, slot = Backpressure(nothing), PendingUpdates(plain, 0)
    for number, data in enumerate(events):
        update = parse_update({"data": data}, 1.0)
        ingest.add(owned, update, number)
        before = slot.cost
        slot.add(update, number)
        load.charge(plain, 1, slot.cost - before)
    [[made]] = ingest._queues.values()
    assert (made.count, made.bytes, made.cost) == (slot.count, slot.bytes, slot.cost)
    assert made.part() == slot.part()
    assert ingest.buffered_bytes == load.bytes
    assert (owned.waiting, owned.waiting_bytes) == (plain.waiting, plain.waiting_bytes)
    load.settle(slot)
    ingest._load.settle(made)
    assert (ingest.buffered_bytes, owned.waiting) == (load.bytes, plain.waiting) == (0, 0)


@given(st.floats(0, 1e10))
def test_time_of_an_update_that_has_none_is_the_same_for_both_readers(now_s: float) -> None:
    assert samples.json_in_ms(lambda: now_s)() == orjson.dumps(samples.in_ms(now_s))


@pytest.mark.parametrize("owns", [True, False], ids=["registered", "no device"])
@pytest.mark.parametrize("lost", ["", "superseded", "deleted"])
@pytest.mark.parametrize("device_id", ["-", None, "d", "other", 1, ["d"]])
@pytest.mark.parametrize("session_id", ["-", None, "d", "other", 0, {}])
def test_device_of_a_sample_is_checked_as_of_any_event(
    owns: bool, lost: str, device_id: Any, session_id: Any
) -> None:
    owned = OwnedSession("d", "s", 0, 1)
    owned.lost = lost
    peer: Any = SimpleNamespace(device=owned if owns else None)
    payload = {"key": "k", "value": 1, "device_id": device_id, "session_id": session_id}
    payload = {name: value for name, value in payload.items() if value != "-"}
    taken: list[Any] = []
    devices: Any = Devices.__new__(Devices)
    devices._clock = SimpleNamespace(now_s=lambda: 1.0)
    devices._max_value_bytes = 100
    devices._ingest = SimpleNamespace(add=lambda owned, update, ack_id: taken.append(owned))

    def outcome(call: Any) -> Any:
        try:
            return call()
        except errors.ServiceError as error:
            return type(error), error.message

    plain = outcome(lambda: devices._owned_by(peer, payload))
    written_out = outcome(lambda: devices.update_data(peer, payload, 1, ""))
    assert (taken[0] if taken else written_out) == plain


@pytest.mark.parametrize("event", ["update_data", "ping", "made up", ""])
def test_events_are_counted_as_the_figures_do(event: str) -> None:
    dispatched, plain = Metrics(), Metrics()
    wires: Any = SimpleNamespace(send=lambda *given: None)
    dispatcher = Dispatcher(wires, ThreadTasks(), dispatched)
    for metrics in (dispatched, plain):
        metrics.expect_event("update_data")
        metrics.expect_event("ping")
    dispatcher.on_hot("update_data", lambda *_: None)
    dispatcher.on("ping", lambda call: None, inline=True)
    dispatcher.connected("s", "10.0.0.1")
    dispatcher.on_event("s", None, f'["{event}"]')
    plain.event(event)
    assert dispatched.events.values == plain.events.values


@given(st.binary(min_size=4, max_size=4), st.text(max_size=frames._LANES_FROM + 9))
def test_frames_are_unmasked_in_place_as_by_the_function(key: bytes, text: str) -> None:
    data = text.encode()[:125].decode(errors="ignore").encode()
    masked = bytes(frames.apply_mask(key, data))
    sent = bytes([0x81, 0x80 | len(data)]) + key + masked
    assert frames.Parser(1 << 20).feed(sent) == [data.decode()]


@given(st.integers(0, 4_000_000_000_000), st.floats(-0.0004, 0.0004))
def test_time_of_a_sample_is_rounded_as_by_round(ms: int, off_s: float) -> None:
    """But where a float cannot tell on which side of a half it is."""
    now_s = max(0.0, ms / 1000 + off_s)
    [sample] = parse_update({"key": "k", "value": 0}, now_s).samples
    assert float(sample[1][3:-1]) == round(now_s, 3)


def test_named_tuples_made_of_tuples() -> None:
    update = samples._update(([], 1, 2))
    assert (update, type(update)) == (samples.Update([], 1, 2), samples.Update)
    result = sample_store._result(("ok", 3))
    assert (result, type(result)) == (model.AppendResult("ok", 3), model.AppendResult)


@pytest.mark.parametrize("key", [*AWKWARD, "x" * 1000])
def test_packed_lrange_is_what_the_library_sends(key: str) -> None:
    assert captures._lrange(key) == hiredis.pack_command(("LRANGE", key, 0, -1))
    library = redis.Connection().pack_command("LRANGE", key, 0, -1)
    assert captures._lrange(key) == b"".join(library)


#: What scripts are given: as redis-py would write it.
ARGUMENTS = ["", "é", "\x00", b"\xff\x00", 0, -1, 2**53, 1.5, 1e21, 0.1, 1 / 3]


def test_scripts_and_reads_past_the_library_are_those_of_the_library(
    store: RedisSessionStore,
) -> None:
    """The same arguments, replies and errors; also of a script that Redis has forgotten."""
    client = store.runner.client
    for text in (
        "local n = {} for i = 1, #ARGV do n[i] = redis.sha1hex(ARGV[i]) end return n",
        "return {1, 'a', {'b', false}, redis.status_reply('fine')}",
        "return nil",
        "return redis.error_reply('odd')",
        "error('odd')",
    ):
        script = client.register_script(text)
        seen = []
        for call in (
            lambda script=script: script(keys=["{0}k"], args=ARGUMENTS),
            lambda script=script: store.runner._evaluate(script, ["{0}k"], ARGUMENTS),
        ):
            try:
                seen.append(call())
            except redis.ResponseError as error:
                seen.append((type(error), str(error)))
        assert seen[0] == seen[1], text
    fresh = client.register_script("return 'never seen before' .. #ARGV")
    assert store.runner._evaluate(fresh, ["{0}k"], ["a"]) == "never seen before1"
    client.rpush(store.keys.session("list"), "a", "é")
    commands = [("GET", "nothing"), ("LRANGE", store.keys.session("list"), 0, -1), ("TIME",)]
    with client.pipeline(transaction=False) as pipe:
        for command in commands[:2]:
            pipe.execute_command(*command)
        assert store.runner.ask(commands)[:2] == pipe.execute()
