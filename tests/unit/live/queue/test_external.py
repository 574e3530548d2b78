"""Messages from processes that are no node: each once, bounded in time, and nothing is left of a call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
import redis

from service import errors
from service.live.queue import external as module
from service.live.queue.external import ExternalMessages
from service.sessions.model import new_node_id, node_token
from service.sessions.store.keys import Keys

NODE = new_node_id()
SID = f"{node_token(NODE)}.{'x' * 22}"


class Flaky(fakeredis.FakeRedis):
    """Fails as often as it is told."""

    failures: list[Exception]
    asked: int

    def execute_command(self, *words: Any, **options: Any) -> Any:
        if words[0] == "XADD":
            self.asked += 1
            if self.failures:
                raise self.failures.pop()
        return super().execute_command(*words, **options)


@pytest.fixture
def client() -> Iterator[Flaky]:
    made = Flaky(server=fakeredis.FakeServer(version=(7, 2)))
    made.failures, made.asked = [], 0
    yield made
    made.close()


@pytest.fixture
def messages(client: Flaky) -> ExternalMessages:
    return ExternalMessages(client, Keys("p"))


def names(client: Flaky, stream: str) -> list[bytes]:
    return [fields[b"n"] for _, fields in client.xrange(stream)]


def test_each_message_counts_as_a_publisher_of_its_own(
    client: Flaky, messages: ExternalMessages
) -> None:
    """Nodes recognise a repeat by its name."""
    for i in range(3):
        messages.emit("event", i)
    assert len(set(names(client, Keys("p").mq))) == 3


def test_nothing_is_made_for_a_node_that_is_gone(client: Flaky, messages: ExternalMessages) -> None:
    messages.notify(NODE, "topic", 1)
    messages.emit_to(SID, "event", 1)
    assert client.keys() == []


def test_redis_may_be_away_for_a_moment(client: Flaky, messages: ExternalMessages) -> None:
    client.failures = [redis.ConnectionError("away")]
    messages.emit("event", 1)
    assert len(names(client, Keys("p").mq)) == 1


def test_full_redis_is_said_at_once(client: Flaky, messages: ExternalMessages) -> None:
    client.failures = [redis.exceptions.OutOfMemoryError("OOM command not allowed")] * 9
    with pytest.raises(errors.Overloaded):
        messages.emit("event", 1)
    assert client.asked == 1


@pytest.mark.parametrize("cut_off", [0, 2])
def test_call_takes_its_own_answer_and_leaves_no_inbox(
    client: Flaky, messages: ExternalMessages, monkeypatch: pytest.MonkeyPatch, cut_off: int
) -> None:
    """Also when its connection is lost while it waits."""
    failures = [redis.ConnectionError("cut off")] * cut_off

    class Reader(redis.Redis):
        def execute_command(self, *words: Any, **options: Any) -> Any:
            if failures:
                raise failures.pop()
            return super().execute_command(*words, **options)

    monkeypatch.setattr(module, "redis", SimpleNamespace(Redis=Reader))
    keys = Keys("p")
    inbox = keys.inbox(node_token(NODE))
    greeting = client.xadd(inbox, {"n": "x:0", "d": "greeting"})
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(messages.call(SID, "ask", 1, 20.0)))
    caller.start()
    try:
        assert client.xread({inbox: greeting}, block=10_000)
        mine = next(
            one for one in client.scan_iter() if one not in (inbox.encode(), keys.mq.encode())
        )
        for number, args in ((7, ["another's"]), (1, ["its own"])):
            body = messages._json.dumps(
                {"method": "callback", "host_id": "h", "sid": SID, "namespace": "/",
                 "id": number, "args": args}
            )  # fmt: skip
            client.xadd(mine, {"n": f"y:{number}", "d": body})
    finally:
        caller.join(30)
    assert answers == ["its own"]
    assert not client.exists(mine)
