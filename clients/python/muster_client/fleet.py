"""A live map of sessions: a snapshot, then every change, over reconnects to any node."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Literal

from muster_client import tokens
from muster_client.addresses import Addresses
from muster_client.changes import Change, Unread
from muster_client.devices.background import tell
from muster_client.errors import NotConnected, Refused
from muster_client.event_types import Summary
from muster_client.socket import Backoff, Reply, Socket
from muster_client.tokens import Token
from muster_client.waiting import within

log = logging.getLogger("muster_client")


class AsyncFleet:
    """Watches a scope; `async with` it.

    Attributes:
        sessions: Id → summary, as it is now.
        state: `connecting`, `live`, `resyncing`, `offline`, `conflated` or `stale`.
        stale_since: While the state is `stale`: when `sessions` was certainly current, as `time.time`.

    Args:
        urls: Of nodes or of a balancer; any of them resumes where another left off, and so do the
            nodes that the service names (`node.public_url`).
        token: Shown to the service, or a function that gives it.
        scope: "fleet", `{"sessions": […]}` or `{"project_id": …}`.
        samples: `all`, `latest` (of each key the newest in `interval_ms`) or `none`.
        values: Only samples of these data keys, at most 20; the summaries of a snapshot have their
            latest values as `values`: key → `[value, ts]`.
        interval_ms: Least time between two batches of samples; None: as soon as the service has them.
        prompt: `interval_ms` is for a busy service only: one that has little to do sends each change at once.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: Token | None = None,
        scope: Any = "fleet",
        samples: Literal["none", "latest", "all"] = "all",
        values: Sequence[str] | None = None,
        interval_ms: int | None = None,
        prompt: bool = False,
    ) -> None:
        self._addresses = Addresses(urls)
        self._token = token
        self._wanted: dict[str, Any] = {"scope": scope, "batch": True}
        if samples != "all":  # a service of before does not know the field
            self._wanted["samples"] = samples
        if values is not None:
            self._wanted["values"] = list(values)
        if interval_ms is not None:
            self._wanted["interval_ms"] = interval_ms
        if prompt:
            self._wanted["prompt"] = True
        self.sessions: dict[str, Summary] = {}
        self.state = "connecting"
        self.stale_since: float | None = None
        self._is_conflated = False
        self._cursor: str | None = None
        self._listeners: list[Callable[[Change], object]] = []
        self._socket: Socket | None = None
        self._early: list[tuple[str, Any]] | None = None
        self._again = asyncio.Event()
        self._live = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._after_s: float | None = None
        self._readers: list[Unread] = []
        self._has_ended = False
        self._error: Exception | None = None

    # -- what a program calls ---------------------------------------------------------------

    async def __aenter__(self) -> AsyncFleet:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to watch; call it in a running event loop."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Disconnect, and wait until that is done; `changes` end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not self._has_ended:
            self._end(None)

    def subscribe(self, listener: Callable[[Change], object]) -> Callable[[], None]:
        """Call `listener` with every change; return what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def changes(self) -> AsyncGenerator[Change, None]:
        """Yield every change from now on, until the fleet is left.

        Where the program takes them more slowly than they come, it gets the latest of what more than
        10,000 changes have overtaken: the latest sample of each key, with `is_conflated`.

        Raises:
            Refused: The service refuses this client for good.
        """
        unread = Unread()
        if self._has_ended:
            unread.end()
        self._readers.append(unread)
        end = self.subscribe(unread.put)
        try:
            while (change := await unread.get()) is not None:
                yield change
        finally:
            end()
            self._readers.remove(unread)
        if self._error is not None:
            raise self._error

    async def wait_live(self, timeout: float | None = None) -> None:
        """Wait for the snapshot.

        Raises:
            asyncio.TimeoutError: It did not come within `timeout` s.
            Refused: The service refuses this client for good.
        """
        await within(timeout, self._live.wait())
        if self._error is not None:
            raise self._error

    # -- the connection ---------------------------------------------------------------------

    def _tell(self, change: Change) -> None:
        for listener in list(self._listeners):
            tell(listener, change)

    def _note_freshness(self, found: Mapping[str, Any]) -> None:
        """Take whether what comes is current; a service of before does not say it."""
        behind_s = found.get("behind_s")
        is_stale = found.get("stale") is True
        known_s = behind_s if isinstance(behind_s, (int, float)) else 0
        self.stale_since = time.time() - known_s if is_stale else None
        self._flow()

    def _flow(self) -> None:
        """Be in the state that the connection is in while changes come."""
        if self.stale_since is not None:
            self._set_state("stale")
        else:
            self._set_state("conflated" if self._is_conflated else "live")

    def _set_state(self, state: str) -> None:
        if state != "stale":
            self.stale_since = None
        if state != self.state:
            self.state = state
            self._tell(Change("state", state=state))

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            self._after_s = None
            try:
                await self._connect_and_watch(backoff)
            except NotConnected as error:
                log.info("the fleet's connection ended: %s", error)
            except Refused as error:
                has_hope = error.retryable or (
                    error.code == "not_authenticated" and callable(self._token)
                )
                if not has_hope:
                    self._end(error)
                    return
                self._after_s = error.retry_after_s
            except Exception:  # an answer that is not understood; another node may answer better
                log.exception("the fleet's connection is made anew")
                self._cursor = None
            self._set_state("offline")
            self._addresses.next()
            after_s = backoff.next_s()
            await asyncio.sleep(after_s if self._after_s is None else self._after_s)

    def _end(self, error: Exception | None) -> None:
        self._error, self._has_ended = error, True
        self._set_state("offline")
        self._live.set()
        for unread in self._readers:
            unread.end()

    async def _connect_and_watch(self, backoff: Backoff) -> None:
        token = await tokens.current(self._token)
        auth = None if token is None else {"token": token}
        socket = await Socket.connect(self._addresses.url, self._event, auth)
        self._socket = socket
        socket.closed.add_done_callback(lambda _: self._again.set())
        try:
            while True:
                await self._watch(socket)
                backoff.succeeded()
                await self._again.wait()
                if socket.closed.done():
                    raise NotConnected(socket.closed.result())
        finally:
            self._socket = None
            await socket.leave("left")

    async def _watch(self, socket: Socket) -> None:
        self._again.clear()
        self._early = []
        request = dict(self._wanted)
        if self._cursor is not None:
            request["cursor"] = self._cursor
            self._set_state("resyncing")
        found: dict[str, Summary] = {}
        while True:
            answer = await socket.call("register_vue", request)
            for summary in [*answer["active"], *answer["inactive"]]:
                found[summary["session_id"]] = summary
            if not answer.get("next"):
                break
            request = {"page": answer["next"]}
        self._addresses.learn(answer.get("nodes"))
        self._cursor = answer["cursor"]
        if not answer["recovered"]:
            self.sessions = found
            self._tell(Change("reset"))
        self._is_conflated = False
        self._note_freshness(answer)
        self._live.set()
        early, self._early = self._early, None
        for event, payload in early:
            self._take(event, payload)

    def _event(self, event: str, payload: Any, reply: Reply | None) -> None:
        if not isinstance(payload, dict):
            return
        if self._early is not None:
            self._early.append((event, payload))
        else:
            self._take(event, payload)

    def _take(self, event: str, payload: Any) -> None:
        if event == "sessions_update":
            for session_id in payload["removed"]:
                self.sessions.pop(session_id, None)
                self._tell(Change("removed", session_id))
            for summary in payload["changed"]:
                self.sessions[summary["session_id"]] = summary
                self._tell(Change("changed", summary["session_id"], summary))
        elif event == "session_data_updates":
            self._is_conflated = conflated = bool(payload.get("conflated"))
            self._flow()
            for session_id, _, rows in payload["updates"]:
                self._tell(Change("samples", session_id, samples=rows, is_conflated=conflated))
        elif event == "command_update":
            self._tell(Change("command", payload["session_id"], details=payload))
        elif event == "feed_state":
            self._note_freshness(payload)
        elif event == "nodes":
            self._addresses.learn(payload.get("nodes"))
        elif event == "resync":
            self._cursor = None
            self._set_state("resyncing")
            self._again.set()
            return
        elif event == "draining":
            after = payload.get("reconnect_after_s")
            self._after_s = float(after) if isinstance(after, (int, float)) else None
            if self._socket is not None:
                self._socket.close(event)
            return
        if payload.get("cursor"):
            self._cursor = payload["cursor"]
