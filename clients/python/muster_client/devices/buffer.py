"""Where samples wait until they are acked, and what a device knows over its restarts.

An update is a row of samples in the order in which they came. Its number, and which samples it has,
are written down before it is sent for the first time. `MemoryBuffer` forgets with the process;
`FileBuffer` in `file_buffer` survives it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from muster_client.devices.samples import Sample


class Stored(NamedTuple):
    """A sample in a buffer.

    Attributes:
        place: Grows with every sample, over restarts too.
    """

    place: int
    sample: Sample


class Numbered(NamedTuple):
    """An update that has its number.

    Attributes:
        seq: Its number in the stream.
        last: Place of its last sample; it begins behind the update before it.
    """

    seq: int
    last: int


class Taken(NamedTuple):
    """A command that a device took.

    Attributes:
        is_started: Whether its handler was called.
        outcome: None: it has not ended, or nobody knows what it came to.
    """

    command_id: str
    name: str
    params: Any
    is_started: bool
    outcome: dict[str, Any] | None


@dataclass(frozen=True)
class Bounds:
    """How much a buffer keeps; beyond it the oldest samples without a number go.

    Attributes:
        samples: How many.
        bytes: Of their keys and values.
        age_s: Since they were measured; 0: any.
    """

    samples: int = 1_000_000
    bytes: int = 256 << 20
    age_s: float = 0.0


class Buffer(Protocol):
    """What a device asks of its buffer; all calls may come from any thread."""

    #: Names the count of updates; new when the device cannot go on with the old count.
    stream: str
    #: Whether nothing was known of this device before.
    is_new: bool
    #: Highest number that was ever given out in this stream.
    highest: int

    def add(self, samples: Sequence[Sample]) -> int:
        """Keep samples; return how many others had to go."""

    def numbered(self) -> list[Numbered]:
        """Return the updates that have a number and are not settled, in order."""

    def samples(self, after: int, limit: int) -> list[Stored]:
        """Return samples behind a place, oldest first."""

    def number(self, updates: Sequence[Numbered], highest: int, stream: str) -> None:
        """Set the updates that have a number, all at once and durably."""

    def settle(self, last: int, updates: Sequence[Numbered]) -> None:
        """Forget samples up to a place, and set the updates that are left."""

    def drop(self, place: int, updates: Sequence[Numbered]) -> None:
        """Forget one sample, and set the updates that are left."""

    def __len__(self) -> int:
        """Return how many samples are kept."""

    def taken(self, command_id: str, name: str, params: Any) -> None:
        """Note a command that will be run, durably."""

    def started(self, command_id: str) -> None:
        """Note that its handler is about to be called, durably."""

    def outcome(self, command_id: str) -> dict[str, Any] | None:
        """Return what a command came to; None: it has not ended."""

    def ended(self, command_id: str, outcome: dict[str, Any]) -> None:
        """Note what a command came to, durably."""

    def reported(self, command_id: str) -> None:
        """Note that the service has the outcome of a command."""

    def unreported(self) -> list[Taken]:
        """Return commands that were taken and whose outcome the service does not have, in order."""

    def close(self) -> None:
        """Write everything and let go."""


def new_stream() -> str:
    """Return the name of a stream that nobody has used."""
    return secrets.token_hex(12)


#: Commands whose outcome is remembered: the service keeps a hundred.
KEPT_COMMANDS = 1000


class MemoryBuffer:
    """A buffer that lasts as long as the process; see `Buffer`."""

    def __init__(self, bounds: Bounds = Bounds()) -> None:
        self.stream, self.is_new, self.highest = new_stream(), True, 0
        self._bounds = bounds
        self._lock = threading.RLock()
        self._samples: deque[Stored] = deque()
        self._bytes = 0
        self._place = 0
        self._numbered: list[Numbered] = []
        self._commands: dict[str, dict[str, Any] | None] = {}

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, samples: Sequence[Sample]) -> int:
        with self._lock:
            for sample in samples:
                self._place += 1
                self._samples.append(Stored(self._place, sample))
                self._bytes += sample.size
            return self._trim()

    def _trim(self) -> int:
        over = len(self._samples) > self._bounds.samples or self._bytes > self._bounds.bytes
        if not over and not self._bounds.age_s:
            return 0
        kept_s = time.time() - self._bounds.age_s if self._bounds.age_s else 0.0
        fixed = self._fixed_count()
        gone = 0
        while len(self._samples) > fixed:
            too_many = len(self._samples) > self._bounds.samples or self._bytes > self._bounds.bytes
            if not too_many and self._samples[fixed].sample.ts >= kept_s:
                break
            self._remove(fixed)
            gone += 1
        return gone

    def _fixed_count(self) -> int:
        """Return how many samples have a number: they come first, and stay."""
        last = self._numbered[-1].last if self._numbered else 0
        return next(
            (index for index, stored in enumerate(self._samples) if stored.place > last),
            len(self._samples),
        )

    def _remove(self, index: int) -> None:
        self._bytes -= self._samples[index].sample.size
        del self._samples[index]

    def numbered(self) -> list[Numbered]:
        return list(self._numbered)

    def samples(self, after: int, limit: int) -> list[Stored]:
        with self._lock:
            found = []
            for stored in self._samples:
                if stored.place > after:
                    found.append(stored)
                    if len(found) == limit:
                        break
            return found

    def number(self, updates: Sequence[Numbered], highest: int, stream: str) -> None:
        with self._lock:
            self._numbered = list(updates)
            self.highest, self.stream, self.is_new = highest, stream, False

    def settle(self, last: int, updates: Sequence[Numbered]) -> None:
        with self._lock:
            while self._samples and self._samples[0].place <= last:
                self._bytes -= self._samples.popleft().sample.size
            self._numbered = list(updates)

    def drop(self, place: int, updates: Sequence[Numbered]) -> None:
        with self._lock:
            for index, stored in enumerate(self._samples):
                if stored.place == place:
                    self._remove(index)
                    break
            self._numbered = list(updates)

    def taken(self, command_id: str, name: str, params: Any) -> None:
        with self._lock:
            self._commands[command_id] = None
            while len(self._commands) > KEPT_COMMANDS:
                del self._commands[next(iter(self._commands))]

    def started(self, command_id: str) -> None:
        """Nobody asks: a command that is interrupted is forgotten with the process."""

    def outcome(self, command_id: str) -> dict[str, Any] | None:
        return self._commands.get(command_id)

    def ended(self, command_id: str, outcome: dict[str, Any]) -> None:
        with self._lock:
            self._commands[command_id] = outcome

    def reported(self, command_id: str) -> None:
        """Nobody asks: what is not reported dies with the process."""

    def unreported(self) -> list[Taken]:
        return []

    def close(self) -> None:
        """Nothing is left to write."""
