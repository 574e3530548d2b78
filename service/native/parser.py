"""Reading in C: what of a socket's bytes goes to `reader.read`, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from service.protocol.frames import Message, Parser

#: Whose updates are expected from a connection, and the id of its session as JSON.
Origin = tuple[object, bytes]


class Updates(NamedTuple):
    """A run of `update_data` events of one socket, read and joined but not yet taken."""

    owner: Any  #: the origin's
    keys: dict[str, list[bytes]]  #: the samples of each data key, `[value,ts]`
    feed: bytes  #: all samples, `["key",value,ts],…`
    acks: list[tuple[int, int]]  #: ack number, and the samples up to there
    events: int
    samples: int
    bytes_in: int
    text_bytes: int  #: of the events' JSON, as limits count it
    first_seq: int  #: the others follow it; 0: they have no numbers
    now: bytes | None  #: the time of samples that came with none, as JSON; None: it was not needed
    frames: bytes

    def texts(self) -> list[Message]:
        """Return the events as Python reads them."""
        return Parser(len(self.frames)).feed(self.frames)


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
    """

    def __init__(
        self,
        native: Any,
        *,
        max_bytes: int,
        max_value_bytes: int,
        now: Callable[[], bytes],
        head: Callable[[str], bytes],
    ) -> None:
        self.read = native.read
        self.max_bytes = max_bytes
        self.settings = (max_bytes, max_value_bytes, now, head, Updates)

    def parser(self) -> NativeParser:
        """Return the input of one connection."""
        return NativeParser(self)


class NativeParser:
    """The input of one connection: C reads what it knows, from the beginning of a frame on, and Python the rest."""

    __slots__ = ("_is_clear", "_python", "_reader", "origin")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._python = Parser(reader.max_bytes)
        self._is_clear = True  # C read all that came: nothing is kept, and Python need not be asked
        #: Whose updates are expected; None: no one's.
        self.origin: Origin | None = None

    @property
    def kept_bytes(self) -> int:
        """Return how many bytes of incomplete messages are kept."""
        return self._python.kept_bytes

    @property
    def is_between(self) -> bool:
        """Return whether what comes next is the beginning of a message."""
        return self._python.is_between

    def feed(self, data: bytes) -> list[Message | Updates]:
        """Do what `Parser.feed` does, with `Updates` where the origin's are read in C."""
        reader, python = self._reader, self._python
        whole = data if self._is_clear else python.take_up(data)
        if whole is None:
            return [*python.feed(data)]
        found, place = reader.read(whole, self.origin, reader.settings)
        self._is_clear = place == len(whole)
        if not self._is_clear:
            found += python.feed(whole[place:] if place else whole)
        messages: list[Message | Updates] = found
        return messages
