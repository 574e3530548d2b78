"""Clients that come back by themselves, through the proxy, over either transport."""

from __future__ import annotations

import contextlib
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import requests
import socketio

from tests.support.waiting import wait_until

POLLING, WEBSOCKET = ("polling",), ("websocket",)


def keep_order(client: socketio.Client) -> None:
    """python-socketio hands every packet to a thread of its own, which loses their order: not so here."""
    trigger = client.eio._trigger_event

    def at_once(event: str, *rest: Any, run_async: bool = False, **more: Any) -> Any:
        return trigger(event, *rest, **more)

    client.eio._trigger_event = at_once


class Visitor:
    """One Socket.IO connection.

    Args:
        transports: as python-socketio has them; both: polling that is upgraded.
        token: shown at the connection.
        cookies: what the browser has already.
    """

    def __init__(
        self,
        url: str,
        token: str,
        transports: tuple[str, ...] = WEBSOCKET,
        cookies: dict[str, str] | None = None,
    ) -> None:
        self.on: dict[str, Callable[[Any], Any]] = {}
        self.events: list[tuple[str, Any]] = []
        browser = requests.Session()
        browser.cookies.update(cookies or {})
        self.sio = socketio.Client(reconnection=False, handle_sigint=False, http_session=browser)
        self.sio.on("*", self._note)
        keep_order(self.sio)
        self.sio.connect(url, transports=list(transports), auth={"token": token}, wait_timeout=10)
        self._opened = (getattr(self.sio.eio.ws, "sock", None), self.sio.eio.http)

    @property
    def cookies(self) -> dict[str, str]:
        """What a browser would have now."""
        found: dict[str, str] = self.sio.eio.http.cookies.get_dict()
        return found

    def _note(self, event: str, payload: Any = None) -> Any:
        self.events.append((event, payload))
        handler = self.on.get(event)
        return handler(payload) if handler else None

    @property
    def node_token(self) -> str:
        """What the id of its node ends with, and its own begins with."""
        return str(self.sio.get_sid()).partition(".")[0]

    def call(self, event: str, payload: Any = None, timeout_s: float = 10) -> dict[str, Any]:
        answer: dict[str, Any] = self.sio.call(event, payload, timeout=timeout_s)
        return answer

    def ok(self, event: str, payload: Any = None) -> dict[str, Any]:
        answer = self.call(event, payload)
        assert answer["ok"], answer
        return answer

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it may be gone already
            self.sio.disconnect()
        for left in self._opened:  # python-engineio forgets them when the other side closes first
            if left is not None:
                left.close()


class Coming(ABC):
    """Something that lives in a thread, over as many connections as it takes."""

    def __init__(self, url: str, token: str, transports: tuple[str, ...]) -> None:
        self._new = lambda: Visitor(url, token, transports)
        self._stopping = threading.Event()
        self.visitor: Visitor | None = None
        self.connects = 0
        self.problems: list[Any] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.visitor = self._new()
                self.live(self.visitor)
            except Exception as exc:  # whatever it was, the next connection follows
                self.problems.append(repr(exc))
            if self.visitor is not None:
                self.visitor.close()
            self._stopping.wait(0.1)

    @abstractmethod
    def live(self, visitor: Visitor) -> None:
        """What it does over one connection, until that ends or `_stopping` is set."""

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(20)
        if self.visitor is not None:
            self.visitor.close()


class Talker(Coming):
    """A device that counts up 1, 2, 3, …, each value acked before the next, and echoes commands."""

    def __init__(
        self, url: str, token: str, session_id: str, transports: tuple[str, ...] = WEBSOCKET
    ) -> None:
        super().__init__(url, token, transports)
        self.session_id = session_id
        self.acked: list[int] = []
        self.story: list[str] = []  # connections and odd answers, for who looks for a fault
        self.drained = 0
        self._thread.start()
        wait_until(lambda: self.acked, 20, what=f"{session_id} talks: {self.problems}")

    def live(self, visitor: Visitor) -> None:
        visitor.on["command"] = lambda command: {"ok": True, "result": command["params"]}
        visitor.on["draining"] = self._count_drain
        answer = visitor.ok("register", {"device_id": self.session_id, "stream": "s"})
        self.connects += 1
        self.story.append(f"{len(self.acked)} acked, registered at {visitor.node_token}: {answer}")
        # What was stored although its ack was lost counts as acked: the device will not send it again.
        self.acked += range(len(self.acked) + 1, answer["last_seq"] + 1)
        for value in itertools.count(len(self.acked) + 1):
            if self._stopping.is_set() or not visitor.sio.connected:
                break
            update = {"key": "n", "value": value, "seq": value}
            answer = visitor.call("update_data", update, timeout_s=8)
            if not answer["ok"]:
                self.problems.append(answer["error"])
                self.story.append(f"{value}: {answer}")
                break
            if answer.get("duplicate"):
                self.story.append(f"{value}: {answer}")
            self.acked.append(value)
            self._stopping.wait(0.02)

    def _count_drain(self, _: Any) -> None:
        self.drained += 1


class Watcher(Coming):
    """A dashboard that resumes by its cursor; keeps the values of `n` it was told, by session."""

    def __init__(self, url: str, token: str, transports: tuple[str, ...] = WEBSOCKET) -> None:
        super().__init__(url, token, transports)
        self.values: dict[str, list[int]] = {}
        self.recoveries: list[bool] = []
        self.story: list[str] = []
        self.cursor: str | None = None
        self._ask = threading.Event()
        self._thread.start()
        wait_until(lambda: self.recoveries, 20, what=f"a dashboard is there: {self.problems}")

    def live(self, visitor: Visitor) -> None:
        visitor.on["session_data_updates"] = self._take
        visitor.on["sessions_update"] = self._keep_cursor
        visitor.on["resync"] = lambda _: self._ask.set()
        self.story.append(f"{visitor.sio.transport()} at {visitor.node_token}")
        self._ask.set()
        while visitor.sio.connected and not self._stopping.is_set():
            if self._ask.wait(0.05):
                self._ask.clear()
                question = {"batch": True, "cursor": self.cursor}
                visitor.sio.emit("register_vue", question, callback=self._begin)

    def _begin(self, answer: dict[str, Any]) -> None:
        """The answer, in its place between the events."""
        self.story.append(str({**answer, "active": (), "inactive": ()}))
        if not answer["ok"]:
            self.problems.append(answer)
            self._ask.set()
            return
        self.connects += 1
        self.cursor = answer["cursor"]
        self.recoveries.append(bool(answer["recovered"]))
        if not answer["recovered"]:
            self.values.clear()

    def _take(self, payload: dict[str, Any]) -> None:
        for session_id, rev, samples in payload["updates"]:
            values = [sample[1] for sample in samples if sample[0] == "n"]
            known = self.values.setdefault(session_id, [])
            if known and values and values[0] != known[-1] + 1:
                self.story.append(f"{session_id} after {known[-1]}: rev {rev}, {values}")
            known.extend(values)
        self._keep_cursor(payload)

    def _keep_cursor(self, payload: dict[str, Any]) -> None:
        self.cursor = payload.get("cursor") or self.cursor


@contextlib.contextmanager
def visitors(*made: Visitor) -> Iterator[None]:
    try:
        yield
    finally:
        for one in made:
            one.close()
