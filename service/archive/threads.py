"""Native threads for the disk work of a node's greenlets.

A read of a slow or hanging disk would stop everything on a green node, since tasks do not switch while a
file is read. eventlet and gevent each bring a pool of native threads that wakes the waiting greenlet.
Code that runs there must not touch anything green (locks, queues, logging): the stores of this package do
not. Where threads are real the call is made directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from service.archive.marker import Mark, Owner
from service.archive.store import ArchiveStore, Quarantined

T = TypeVar("T")

#: Disk reads at once under gevent; more wait their turn. eventlet has one pool per process, of 20.
GEVENT_THREADS = 8


class NativeCalls(Protocol):
    """Runs a blocking function while the caller's other tasks continue."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> T:
        """Return or raise what `function(*args)` does."""


def native_calls(async_mode: str) -> NativeCalls:
    """Return the way of this process to run blocking functions.

    Args:
        async_mode: `eventlet` or `gevent`: in a native thread; `threading`: in the caller's own.
    """
    if async_mode == "eventlet":
        from eventlet import tpool

        return tpool.execute  # type: ignore[no-any-return]
    if async_mode == "gevent":
        from gevent.threadpool import ThreadPool

        return _GeventCalls(ThreadPool(GEVENT_THREADS))
    if async_mode == "threading":
        return _direct
    raise ValueError(f"no async mode: {async_mode!r}")


def _direct(function: Callable[..., T], /, *args: Any) -> T:
    return function(*args)


class _GeventCalls:
    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __call__(self, function: Callable[..., T], /, *args: Any) -> T:
        result, error = self._pool.apply(_caught, (function, args))
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


def _caught(function: Callable[..., T], args: tuple[Any, ...]) -> tuple[T | None, Exception | None]:
    """Return what was returned, or raised: gevent's pool prints what a task raises as a traceback."""
    try:
        return function(*args), None
    except Exception as exc:  # noqa: BLE001 raised again for who called
        return None, exc


class ThreadedArchiveStore:
    """An ArchiveStore whose calls run through `calls`."""

    def __init__(self, store: ArchiveStore, calls: NativeCalls) -> None:
        self._store = store
        self._calls = calls

    def claim(self, owner: Owner | None = None) -> str:
        return self._calls(self._store.claim, owner)

    def identify(self) -> Mark:
        return self._calls(self._store.identify)

    def silent_s(self) -> float:
        return self._calls(self._store.silent_s)

    def adopt(self, was: str, owner: Owner) -> str:
        return self._calls(self._store.adopt, was, owner)

    def open(self, store_id: str, owner: Owner | None = None) -> None:
        self._calls(self._store.open, store_id, owner)

    def touch(self) -> None:
        self._calls(self._store.touch)

    def put(self, files: Sequence[tuple[str, bytes]]) -> None:
        self._calls(self._store.put, files)

    def get(self, name: str) -> bytes | None:
        return self._calls(self._store.get, name)

    def get_piece(self, name: str, offset: int, size: int) -> bytes | None:
        return self._calls(self._store.get_piece, name, offset, size)

    def delete(self, names: Sequence[str]) -> int:
        return self._calls(self._store.delete, names)

    def find(self, session_id: str) -> list[str]:
        return self._calls(self._store.find, session_id)

    def quarantine(self, name: str, reason: str) -> str | None:
        return self._calls(self._store.quarantine, name, reason)

    def quarantined(self) -> list[Quarantined]:
        return self._calls(self._store.quarantined)

    def read_quarantined(self, item: str) -> bytes | None:
        return self._calls(self._store.read_quarantined, item)

    def get_quarantined_piece(self, item: str, offset: int, size: int) -> bytes | None:
        return self._calls(self._store.get_quarantined_piece, item, offset, size)

    def unquarantine(self, item: str) -> str | None:
        return self._calls(self._store.unquarantine, item)

    def collect_litter(self, older_than_s: float) -> int:
        return self._calls(self._store.collect_litter, older_than_s)

    # last, because its name hides the type of the same name above
    def list(self, after: str = "", limit: int = 1000) -> list[str]:
        return self._calls(self._store.list, after, limit)
