"""A device for asyncio: what it sends is stored exactly once, whatever nodes and networks do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from muster_client import tokens
from muster_client.devices import samples
from muster_client.devices.background import tell, warn_of_drop, warn_of_refusal
from muster_client.devices.buffer import Bounds, Buffer, MemoryBuffer
from muster_client.devices.commands import Commands, Handler
from muster_client.devices.file_buffer import FileBuffer, sync_every
from muster_client.devices.sender import Outcome, Sender, Update
from muster_client.devices.setups import Setups
from muster_client.errors import NotConnected, Refused
from muster_client.socket import Backoff, Reply, Socket
from muster_client.tokens import Token
from muster_client.waiting import within

log = logging.getLogger("muster_client")

H = TypeVar("H", bound=Handler)

#: No answer to an update for this long although the connection lives: connect again.
ACK_TIMEOUT_S = 30.0
#: Clocks that differ by less are left alone.
CLOCK_SLACK_S = 1.0
#: From an answer that says so to the next connection.
LOST_PAUSE_S = 1.0
#: Longest pause between two attempts with a token that is refused.
TOKEN_PAUSE_S = 300.0


class AsyncDevice:
    """A device; `async with` it, then `send`.

    Args:
        urls: Of nodes or of a balancer; tried in turn.
        device_id: The id of its session.
        name: Shown in lists.
        project_id: The group it belongs to.
        meta: Anything about the device.
        token: Shown to the service; or a function that gives one, which is asked before it ends.
        buffer: A file that keeps what is not acked over restarts; None: memory.
        bounds: Of the buffer.
        sync_s: A sample is on the disk this much later at most (with a file).
        correct_clock: Whether times of measurement are corrected where this clock is wrong.
        on_drop: Gets how many samples were dropped because the buffer was full.
        on_refused: Gets key, error of a sample that the service will never take.
        on_state: Gets `connecting`, `online`, `offline`, or `ended`, and why.

    Raises:
        BufferInUse, BadBuffer: See `FileBuffer`.
        ValueError: An address is none.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        device_id: str,
        *,
        name: str | None = None,
        project_id: str | None = None,
        meta: Mapping[str, Any] | None = None,
        token: Token | None = None,
        buffer: str | os.PathLike[str] | None = None,
        bounds: Bounds = Bounds(),  # noqa: B008  frozen
        sync_s: float = 1.0,
        correct_clock: bool = True,
        on_drop: Callable[[int], object] | None = None,
        on_refused: Callable[[str, Mapping[str, Any]], object] | None = None,
        on_state: Callable[[str, str], object] | None = None,
    ) -> None:
        self._urls = [urls] if isinstance(urls, str) else list(urls)
        if not self._urls:
            raise ValueError("give at least one address")
        self.device_id = device_id
        self._identity: dict[str, Any] = {"device_id": device_id}
        given = {"session_name": name, "project_id": project_id, "meta": meta}
        self._identity |= {key: value for key, value in given.items() if value is not None}
        self._token = token
        self.buffer: Buffer = MemoryBuffer(bounds) if buffer is None else FileBuffer(buffer, bounds)
        self._sync_s = sync_s
        self._correct_clock = correct_clock
        self._on_drop = on_drop or warn_of_drop
        self._on_refused = on_refused or warn_of_refusal
        self._on_state = on_state or (lambda state, why: None)
        self._sender = Sender(self.buffer)
        self._must_reload = False  # what the sender holds is not what the buffer holds
        self._commands = Commands(self.buffer, self._ask)
        self._setups = Setups(device_id, self._ask)
        self._shift_s = 0.0
        #: Of this clock, however wrong it is: tokens end by the service's.
        self._server_ahead_s = 0.0
        self.state, self.why = "offline", ""
        self.registration: dict[str, Any] = {}  #: the latest ack of `register`
        self._socket: Socket | None = None
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._ended = False
        self._resume_at = 0.0  # send nothing before, in the time of the loop
        self._reconnect_after_s: float | None = None
        self._token_pause_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def command(self, name: str, *, repeatable: bool = False) -> Callable[[H], H]:
        """Carry out commands of this name by the function below.

        It gets `params`. What it returns is the result, an exception is a failure. A function that
        is no coroutine runs in a thread. Each command runs once; one that was interrupted by the end
        of the program is reported as failed, unless it is `repeatable`.
        """

        def add(handler: H) -> H:
            self._commands.add(name, handler, repeatable)
            return handler

        return add

    def on_setup(self, handler: H) -> H:
        """Apply setups by the function below; it gets setup and version.

        When it returns without an exception, the version is reported as running.
        """
        self._setups.handler = handler
        return handler

    def send(
        self, values: Mapping[str, Any] | None = None, /, *, ts: float | None = None, **more: Any
    ) -> None:
        """Send a value for each key, measured at one moment; needs no connection.

        Args:
            values: By data key.
            ts: When it was measured, seconds since 1970; None: now.
            more: By data key, for keys that are Python names.

        Raises:
            ValueError, TypeError: The service would never take it; says which key and why.
        """
        checked = samples.check({**(values or {}), **more}, time.time() if ts is None else ts)
        dropped = self.buffer.add(checked)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended, perhaps just now
                self._loop.call_soon_threadsafe(self._wake.set)  # from whatever thread
        if dropped:
            tell(self._on_drop, dropped)

    @property
    def unacked(self) -> int:
        """How many samples are not known to be stored."""
        return len(self.buffer)

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything that was sent is stored; False: it is not after `timeout` s.

        It is False at once when the device has ended.
        """
        with contextlib.suppress(asyncio.TimeoutError):
            await within(timeout, self._until_empty())
        return len(self.buffer) == 0

    async def _until_empty(self) -> None:
        while len(self.buffer) and not self._ended:
            self._empty.clear()
            await self._empty.wait()

    async def __aenter__(self) -> AsyncDevice:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def start(self) -> None:
        """Begin to connect and to send; call it in a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._commands.resume()
        work = [self._run(), self._commands.run(), self._setups.run()]
        if isinstance(self.buffer, FileBuffer):
            work.append(sync_every(self._sync_s, self.buffer, self.device_id))
        self._tasks = [asyncio.ensure_future(one) for one in work]

    async def stop(self) -> None:
        """Disconnect, and wait until that is done; what is not acked stays in a buffer file.

        The handler of a command that runs now is not waited for; the next run of the program with
        the same buffer file reports it as interrupted.
        """
        self._end("stopped")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.buffer.close()

    def _set_state(self, state: str, why: str = "") -> None:
        if self.state != "ended" and (state, why) != (self.state, self.why):
            self.state, self.why = state, why
            tell(self._on_state, state, why)

    def _has_ended(self) -> bool:
        return self._ended

    def _end(self, why: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self._socket is not None:
            self._socket.close(why)
        self._set_state("ended", why)
        self._wake.set()
        self._empty.set()

    async def _run(self) -> None:
        backoff = Backoff()
        while not self._has_ended():
            self._set_state("connecting", self.why)
            why = "the connection ended"
            try:
                await self._connect_and_stay(backoff)
            except NotConnected as error:
                why = str(error)
            except Refused as error:
                why = str(error)
                self._refused(error)
            except Exception as error:  # such as a full disk: it may have room again
                log.exception("%s: the connection is made anew", self.device_id)
                why = repr(error)
                self._must_reload = True
            if self._has_ended():
                return
            self._set_state("offline", why)
            delay_s, self._reconnect_after_s = self._reconnect_after_s, None
            self._urls.append(self._urls.pop(0))
            await asyncio.sleep(backoff.next_s() if delay_s is None else delay_s)

    def _refused(self, error: Refused) -> None:
        """Decide what a refused connect or `register` means."""
        if error.code == "stale_generation":
            self._end("superseded")
        elif error.retryable:
            self._reconnect_after_s = error.retry_after_s
        elif callable(self._token):
            # It is asked once at once, then ever more seldom: it may give another token some day.
            self._reconnect_after_s = self._token_pause_s
            self._token_pause_s = min(TOKEN_PAUSE_S, max(1.0, 2 * self._token_pause_s))
        elif error.code in ("not_authenticated", "not_allowed", "invalid_request", "too_large"):
            self._end(str(error))

    async def _connect_and_stay(self, backoff: Backoff) -> None:
        if self._must_reload:
            self._sender, self._must_reload = Sender(self.buffer), False
        token = await tokens.current(self._token)
        auth = None if token is None else {"token": token}
        socket = self._socket = await Socket.connect(self._urls[0], self._event, auth)
        renewal: asyncio.TimerHandle | None = None
        try:
            registration = await self._register(socket)
            backoff.succeeded()
            self._token_pause_s = 0.0
            self._note_clock(registration["server_time"])
            renewal = self._renew_at_end_of(token, socket)
            self._set_state("online", self._urls[0])
            self._setups.registered(registration["setup"], registration["setup_version"])
            self._commands.connected()
            await self._send_until_closed(socket)
        finally:
            if renewal is not None:
                renewal.cancel()
            self._sender.lost()
            self._socket = None
            await socket.leave("left")

    def _renew_at_end_of(self, token: str | None, socket: Socket) -> asyncio.TimerHandle | None:
        """Connect with a new token before the service cuts this one off."""
        now = time.time() + self._server_ahead_s
        left_s = tokens.left_s(token, now) if callable(self._token) else None
        if left_s is None:
            return None

        def renew() -> None:
            self._reconnect_after_s = 0.0
            socket.close("the token ends soon")

        return asyncio.get_running_loop().call_later(max(1.0, left_s - min(60, left_s / 10)), renew)

    async def _register(self, socket: Socket) -> dict[str, Any]:
        while True:
            identity = {**self._identity, "stream": self._sender.stream}
            answer = await socket.call("register", identity)
            self.registration = answer
            last_seq = int(answer["last_seq"])
            if last_seq > self.buffer.highest:
                log.warning(
                    "the service knows more of %s than this buffer: some samples may be stored twice",
                    self.device_id,
                )
            _, has_other_stream = self._sender.registered(last_seq)
            self._note_empty()
            if not has_other_stream:
                return answer

    def _note_clock(self, server_time: float) -> None:
        ahead_s = self._server_ahead_s = server_time - time.time()
        wrong = self._correct_clock and abs(ahead_s) > CLOCK_SLACK_S
        self._shift_s = ahead_s if wrong else 0.0

    async def _send_until_closed(self, socket: Socket) -> None:
        self._wake.set()
        socket.closed.add_done_callback(lambda _: self._wake.set())
        loop = asyncio.get_running_loop()
        while not socket.closed.done():
            await self._wake.wait()
            self._wake.clear()
            while not socket.closed.done() and loop.time() >= self._resume_at:
                updates = self._sender.take()
                if not updates:
                    break
                for update in updates:
                    self._send_update(socket, update)
        if not self._has_ended():
            raise NotConnected(socket.closed.result())

    def _send_update(self, socket: Socket, update: Update) -> None:
        answer = socket.ask("update_data", update.payload(self._shift_s))
        seq = update.seq
        late = asyncio.get_running_loop().call_later(
            ACK_TIMEOUT_S, socket.close, f"no answer to update {seq} within {ACK_TIMEOUT_S:g} s"
        )

        def answered(done: asyncio.Future[Any]) -> None:
            late.cancel()
            if done.cancelled() or done.exception() is not None or socket is not self._socket:
                return
            try:
                self._answered(socket, self._sender.answered(seq, done.result()))
            except Exception:  # such as a full disk: begin with what the buffer has
                log.exception("%s: an answer could not be written down", self.device_id)
                self._must_reload = True
                socket.close("the buffer could not be written")

        answer.add_done_callback(answered)

    def _answered(self, socket: Socket, outcome: Outcome) -> None:
        loop = asyncio.get_running_loop()
        for stored, error in outcome.dropped:
            tell(self._on_refused, stored.sample.key, error)
        if outcome.wait_s:
            self._resume_at = loop.time() + outcome.wait_s
            loop.call_later(outcome.wait_s + 0.01, self._wake.set)
        if outcome.is_lost:
            # Stay for a moment: `superseded` may be on its way, after which it does not come back.
            self._reconnect_after_s = 0.0
            loop.call_later(LOST_PAUSE_S, socket.close, "the session has another owner or count")
        self._note_empty()
        self._wake.set()

    def _note_empty(self) -> None:
        if not len(self.buffer):
            self._empty.set()

    def _ask(self, event: str, payload: Any) -> asyncio.Future[Any]:
        if self._socket is None:
            nothing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            nothing.cancel()
            return nothing
        return self._socket.ask(event, payload)

    def _event(self, event: str, payload: Any, reply: Reply | None) -> None:
        data = payload if isinstance(payload, dict) else {}
        if event == "command":
            self._commands.take(payload, reply)
        elif event == "setup":
            self._setups.changed(data["setup"], data["setup_version"])
        elif event == "ping" and self._socket is not None:
            self._socket.emit("pong", data)
        elif event in ("superseded", "deleted"):
            self._end(event)
        elif event in ("draining", "kicked"):
            after = data.get("reconnect_after_s", data.get("retry_after_s"))
            self._reconnect_after_s = float(after) if isinstance(after, (int, float)) else 1.0
            if self._socket is not None:
                self._socket.close(event)
        elif event == "service_error" and data.get("code") == "not_authenticated":
            if not callable(self._token):
                self._end(f"not_authenticated: {data.get('message', '')}")
            elif self._socket is not None:
                self._reconnect_after_s = 0.0
                self._socket.close("the token has ended")
