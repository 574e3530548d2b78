"""What each kind of server must have in Redis of the samples that devices sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.sessions.runs import samples_of


@dataclass(frozen=True)
class Sent:
    """What the devices of a run sent, and so what must be kept of it."""

    samples: list[int]  #: of each device
    keys: int  #: of a device, which take turns
    per_event: int

    @property
    def ids(self) -> list[str]:
        return [f"device-{number:05d}" for number in range(len(self.samples))]


def shares(count: int, keys: int) -> list[int]:
    """How many of `count` samples each key gets when keys take turns."""
    return [math.ceil((count - key) / keys) for key in range(keys)]


def lists(key: Callable[[str, str], str], history: int, client: Any, sent: Sent) -> list[str]:
    """A list for each key of a device, named by `key`, with its newest samples, alone or in runs."""
    with client.pipeline(transaction=False) as pipe:
        for device in sent.ids:
            for number in range(sent.keys):
                pipe.lrange(key(device, f"metric_{number}"), 0, -1)
        lengths = [len(samples_of(runs)) for runs in pipe.execute()]
    wanted = [min(history, share) for n in sent.samples for share in shares(n, sent.keys)]
    if lengths == wanted:
        return []
    return [f"histories in Redis: {sum(lengths)} samples instead of {sum(wanted)}"]


def streams(key: Callable[[str], str], history: int, client: Any, sent: Sent) -> list[str]:
    """A stream for each device, named by `key`, with its newest events."""
    with client.pipeline(transaction=False) as pipe:
        for device in sent.ids:
            pipe.xlen(key(device))
        lengths = pipe.execute()
    wanted = [min(history, count // sent.per_event) for count in sent.samples]
    if lengths == wanted:
        return []
    return [f"histories in Redis: {sum(lengths)} events instead of {sum(wanted)}"]


def counted(session: Callable[[str], str], client: Any, sent: Sent) -> list[str]:
    """The number of each device's samples in its session, named by `session`."""
    with client.pipeline(transaction=False) as pipe:
        for device in sent.ids:
            pipe.hget(session(device), "updates")
        updates = [int(count or 0) for count in pipe.execute()]
    if updates == sent.samples:
        return []
    return [f"updates in Redis: {sum(updates)} of {sum(sent.samples)}"]
