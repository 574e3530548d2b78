"""Reading in C: what of a socket's bytes goes to `reader.read`, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from service.protocol.frames import Message, Parser

#: Whose updates are expected from a connection, and the id of its session as JSON.
Origin = tuple[object, bytes]


class Updates(NamedTuple):
    """A run of `update_data` events of one socket, read but not yet taken."""

    owner: Any  #: the origin's
    entries: list[tuple[Any, int | None]]  #: what is to be stored, and the ack number, of each
    samples: int  #: in all of them
    bytes_in: int  #: of all of them
    text_bytes: int  #: of the events' JSON, as limits count it
    first_seq: int  #: the others follow it; 0: they have no numbers
    source: bytes
    start: int  #: where their frames are in it
    end: int

    def texts(self) -> list[Message]:
        """Return them as Python reads them."""
        return Parser(len(self.source)).feed(self.source[self.start : self.end])


def one_by_one(messages: Iterable[Message | Updates]) -> list[Message]:
    """Return the messages as if Python had read them all."""
    found: list[Message] = []
    for message in messages:
        if isinstance(message, Updates):
            found += message.texts()
        else:
            found.append(message)
    return found


class Reader:
    """How a node reads in C.

    Args:
        native: the module.
        max_bytes: the longest message.
        max_value_bytes: the longest value of a sample, as JSON.
        now: the time of samples that have none, as JSON.
        head: returns how the JSON of a sample begins, `["key",`, for a legal key, else b"".
        update: what is to be stored of an event, a tuple of (samples, seq, bytes_in).
    """

    def __init__(
        self,
        native: Any,
        *,
        max_bytes: int,
        max_value_bytes: int,
        now: Callable[[], bytes],
        head: Callable[[str], bytes],
        update: type[tuple[Any, ...]],
    ) -> None:
        self.read = native.read
        self.max_bytes = max_bytes
        self.settings = (max_bytes, max_value_bytes, now, head, update, Updates)

    def parser(self) -> NativeParser:
        """Return the input of one connection."""
        return NativeParser(self)


class NativeParser:
    """The input of one connection: C reads what it knows, from the beginning of a frame on, and Python the rest."""

    __slots__ = ("_python", "_reader", "origin")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._python = Parser(reader.max_bytes)
        #: Whose updates are expected; None: no one's.
        self.origin: Origin | None = None

    @property
    def kept_bytes(self) -> int:
        """Return how many bytes of incomplete messages are kept."""
        return self._python.kept_bytes

    def feed(self, data: bytes) -> list[Message | Updates]:
        """Do what `Parser.feed` does, with `Updates` where the origin's are read in C."""
        reader, python = self._reader, self._python
        whole = python.take_up(data)
        if whole is None:
            return [*python.feed(data)]
        found, place = reader.read(whole, self.origin, reader.settings)
        if place < len(whole):
            found += python.feed(whole[place:] if place else whole)
        messages: list[Message | Updates] = found
        return messages
