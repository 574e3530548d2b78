"""How a fault is planted in the service."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import redis


@dataclasses.dataclass(frozen=True, slots=True)
class Plant:
    """A fault in the service.

    Attributes:
        promise: That a simulation finds broken.
        faults: Names of the faults that bring it to light; none: it shows by itself.
        seed: One that finds it, today.
        tries: How many seeds from there on may miss it.
    """

    name: str
    plant: Callable[[], AbstractContextManager[Any]]
    promise: str
    faults: tuple[str, ...] = ()
    seed: int = 1
    tries: int = 40


@contextlib.contextmanager
def script(old: str, new: str, *more: tuple[str, str]) -> Iterator[None]:
    """Change the text of scripts."""
    register, changes, changed = redis.Redis.register_script, ((old, new), *more), set[str]()

    def planted(client: Any, text: str) -> Any:
        for before, after in changes:
            if before in text:
                changed.add(before)
                text = text.replace(before, after)
        return register(client, text)

    with mock.patch.object(redis.Redis, "register_script", planted):
        yield
    if len(changed) < len(changes):
        raise LookupError(f"no script has {old!r} any more")


def method(owner: type, name: str, planted: Callable[..., Any]) -> AbstractContextManager[Any]:
    """Replace a method."""
    return mock.patch.object(owner, name, planted)
