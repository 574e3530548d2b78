"""Many replies of one connection: the same as when each is read by redis-py."""

from __future__ import annotations

from typing import Any

import hiredis
import pytest
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.exceptions import BusyLoadingError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from service.redis_access.connections import replies

ANSWERS = b"+OK\r\n$3\r\nabc\r\n*2\r\n$1\r\na\r\n$-1\r\n-ERR no\r\n:7\r\n$0\r\n\r\n"
FOUND = ["OK", "abc", ["a", None], ResponseError("ERR no"), 7, ""]


def error_of(words: str) -> Exception:
    kinds = {"READONLY": ReadOnlyError, "LOADING": BusyLoadingError}
    return kinds.get(words.partition(" ")[0], ResponseError)(words)


class Parser:
    """A parser of redis-py around its real reader."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(
            encoding="utf-8", replyError=error_of, notEnoughData=NOT_ENOUGH_DATA
        )
        self.pushed: list[Any] = []

    def handle_push_response(self, message: Any) -> None:
        self.pushed.append(message)


class Wire:
    """A connection to which bytes come piece by piece, when they are waited for."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self._parser = Parser()
        self.waits = 0

    def read_response(self, disable_decoding: bool = False) -> Any:
        self.waits += 1
        while True:
            reply = self._parser._reader.gets(not disable_decoding)
            if reply is NOT_ENOUGH_DATA:
                self._parser._reader.feed(self._pieces.pop(0))
            elif isinstance(reply, hiredis.PushNotification):
                self._parser.handle_push_response(reply)
            elif isinstance(reply, Exception):
                raise reply
            else:
                return reply


def shown(found: list[Any]) -> list[Any]:
    return [repr(one) if isinstance(one, Exception) else one for one in found]


@pytest.mark.parametrize("cut", range(1, len(ANSWERS)))
def test_replies_are_the_same_wherever_they_are_cut(cut: int) -> None:
    wire = Wire(ANSWERS[:cut], ANSWERS[cut:])
    assert shown(list(replies(wire, len(FOUND), raises=False))) == shown(FOUND)


@pytest.mark.parametrize("cut", [1, ANSWERS.index(b"-ERR"), len(ANSWERS)])
def test_error_is_raised_in_its_place_unless_it_is_wanted(cut: int) -> None:
    found = []
    with pytest.raises(ResponseError, match="ERR no"):
        for reply in replies(Wire(ANSWERS[:cut], ANSWERS[cut:]), len(FOUND)):
            found.append(reply)
    assert found == FOUND[:3]


def test_what_has_arrived_costs_one_call_of_the_library() -> None:
    wire = Wire(ANSWERS)
    list(replies(wire, len(FOUND), raises=False))
    assert wire.waits == 1


def test_what_came_with_an_earlier_reply_costs_none() -> None:
    wire = Wire(ANSWERS)
    assert wire.read_response() == "OK"
    assert shown(list(replies(wire, len(FOUND) - 1, raises=False))) == shown(FOUND[1:])
    assert wire.waits == 1


def test_no_more_is_taken_than_was_asked_for() -> None:
    wire = Wire(ANSWERS)
    assert list(replies(wire, 2)) == ["OK", "abc"]
    assert wire.read_response() == ["a", None]


def test_undecoded_replies_are_bytes() -> None:
    assert list(replies(Wire(ANSWERS), 3, decoded=False))[1:] == [b"abc", [b"a", None]]


def test_message_between_replies_is_no_reply() -> None:
    wire = Wire(b"+a\r\n>2\r\n+invalidate\r\n*0\r\n+b\r\n")
    assert list(replies(wire, 2)) == ["a", "b"]
    assert wire._parser.pushed == [["invalidate", []]]


def test_server_that_became_a_replica_ends_the_call() -> None:
    """The connection is closed then: left open, it would be refused its writes for ever."""
    with pytest.raises(RedisConnectionError):
        list(replies(Wire(b"+OK\r\n-READONLY You cannot write.\r\n"), 2))


def test_server_that_loads_its_data_is_not_called_a_replica() -> None:
    with pytest.raises(BusyLoadingError, match="LOADING"):
        list(replies(Wire(b"+OK\r\n-LOADING Redis is loading the dataset\r\n"), 2, raises=False))
