"""A device that loses nothing it can keep, thousands at a time: the client behind `muster simulate`.

Who writes a device takes `muster_client`, as `muster agent` does; why there is this one too, and what it leaves out
(a disk, checks of what is sent, handlers in threads), is in docs/decisions/0017-two-clients.md.

* Every update gets the next `seq` of one `stream` when it is first sent, and stays in hand until it
  is settled: by an `ok` for it, or by `last_seq` of a `register` ack, which says what was stored although
  its ack was lost. `expected_seq` of a refusal settles nothing: it counts what the service may yet lose.
* An update that is refused leaves a gap behind which the service answers `conflict`, to each of those
  under way. So the device sends nothing more, awaits all answers, numbers what is still in hand
  again, from the highest acked number on, and sends it once more.
* Where the service does not say what it has (`internal`), or has not what it acked (`conflict` for the
  number behind the highest acked), the device registers again, and `last_seq` says it.
* Updates wait in a bounded queue while there is no connection. Only what was never sent is dropped,
  oldest first, and counted: what was sent has a number, and a number may not be left out.
* A command is carried out once per `command_id`; a second delivery gets the first one's outcome.
* `superseded` and `deleted` end the device: coming back would be a fight with the connection that took the id.
  `draining` and every lost connection lead to the next URL after a growing, jittered delay.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.cli.simulation import websocket
from service.cli.simulation.outcomes import Handler, Outcomes

#: Refusals after which asking again is pointless.
_HOPELESS = frozenset(
    {"invalid_request", "not_allowed", "not_authenticated", "conflict", "too_large"}
)
#: Refusals after which a new register says who owns the session, and what of the stream is stored.
_REGISTER_AGAIN = frozenset({"stale_generation", "not_registered"})
#: How long a device waits for the notice that it lost its session before it registers again: too early it
#: would take the session back from who has it now.
_NOTICE_S = 3.0
#: No ack for this long although the connection lives: connect again, the numbers prevent doubles.
_ACK_TIMEOUT_S = 30.0


@dataclass(slots=True, eq=False)
class Update:
    """Some readings taken at one moment."""

    data: dict[str, Any]
    ts: float  #: seconds since 1970
    seq: int = 0  #: 0 until it is first sent
    sent_s: float = 0.0  #: monotonic time of the first sending


@dataclass(slots=True)
class Counts:
    """What became of a device's updates and connections."""

    sent: int = 0  #: updates, each once however often it was repeated
    acked: int = 0
    acked_samples: int = 0
    refused: int = 0  #: answered with an error that no repetition helps against
    deferred: int = 0  #: answers that asked for patience: sent again later
    dropped: int = 0  #: never sent: the queue was full
    connects: int = 0
    commands: int = 0

    @property
    def reconnects(self) -> int:
        return max(0, self.connects - 1)


class Device:
    """One device; `run` keeps it connected, `update` gives it readings.

    Args:
        urls: Nodes, tried in turn beginning with the first.
        token: What is shown to them; None: nothing.
        commands: Name to handler. A handler gets `params` and returns the result or raises
            `CommandError`; the outcome of an awaitable follows as `command_result`.
        on_event: Gets a word (``connected``, ``disconnected``, ``unreachable``, ``refused``,
            ``dropped``, ``ended``) and a detail.
        on_acked: Gets each acked update and the seconds since it was first sent.
        queue_updates: How many updates wait at most before the oldest unsent one is dropped.
        window: How many updates may be unanswered.
        max_delay_s: Upper bound of the delay between two attempts to connect.
    """

    def __init__(
        self,
        device_id: str,
        urls: Sequence[str],
        *,
        token: str | None = None,
        session_name: str | None = None,
        project_id: str | None = None,
        meta: Mapping[str, Any] | None = None,
        commands: Mapping[str, Handler] | None = None,
        on_event: Callable[[str, str], None] | None = None,
        on_acked: Callable[[Update, float], None] | None = None,
        queue_updates: int = 1000,
        window: int = 64,
        max_delay_s: float = 15.0,
    ) -> None:
        self.device_id = device_id
        self.counts = Counts()
        self.registration: dict[str, Any] = {}  #: the latest ack of `register`
        self.first_rev: int | None = None  #: revision when this device first registered
        self.ended = ""  #: why `run` returned or will return
        self._urls = list(urls)
        self._auth = None if token is None else {"token": token}
        self._identity = {"device_id": device_id, "stream": secrets.token_hex(8)}
        for name, value in (("session_name", session_name), ("project_id", project_id)):
            if value is not None:
                self._identity[name] = value
        self._meta = dict(meta or {})
        self._outcomes = Outcomes(commands or {}, self._emit)
        self._on_acked = on_acked
        self._report = on_event or (lambda word, detail: None)
        self._waiting: deque[Update] = deque()
        self._in_hand: dict[int, Update] = {}  # seq → update, sent and not acked, in order
        self._queue_updates, self._window, self._max_delay_s = queue_updates, window, max_delay_s
        self._seq = 0  # the highest number that was given out
        self._acked_seq = 0  # the highest number that is settled
        self._connection: websocket.Connection | None = None
        self._ready = False  # registered on the present connection
        self._unanswered = 0  # updates sent on this connection whose ack has not come
        self._is_retrying = (
            False  # something was refused: answers are awaited, then all is sent again
        )
        self._must_register = False  # nothing is sent on this connection any more
        self._retry_delay_s = 0.0
        self._backing_off = False  # this round had a refusal that asks for patience
        self._setup_version = 0  # of the latest setup on the present connection
        self._was_ready = False  # the present or latest connection got as far as `register`
        self._lost = asyncio.Event()
        self._stop = asyncio.Event()
        self._reconnect_after_s: float | None = None

    # -- what a program calls ---------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Registered, and the connection is up."""
        return self._ready

    def update(self, data: dict[str, Any], ts: float | None = None) -> None:
        """Queue readings; they go out at once where that is possible."""
        if len(self._waiting) >= self._queue_updates:
            self._waiting.popleft()
            self.counts.dropped += 1
        self._waiting.append(Update(data, time.time() if ts is None else ts))
        self._pump()

    @property
    def unfinished(self) -> int:
        """Return the updates that are not acked, sent or not."""
        return len(self._waiting) + len(self._in_hand)

    def close(self, reason: str = "closed here") -> None:
        """Disconnect and let `run` return."""
        self.ended = self.ended or reason
        self._stop.set()
        self._lost.set()

    async def run(self) -> str:
        """Stay connected until `close`, `superseded`, `deleted` or a final refusal; says which."""
        attempt = 0
        while not self._stop.is_set():
            try:
                await self._connect_and_stay()
                attempt = 0 if self._was_ready else attempt + 1
            except websocket.Refused as refused:
                attempt += 1
                self._register_refused(refused.error)
            except (OSError, TimeoutError) as error:
                attempt += 1
                self._report("unreachable", f"{self._urls[0]}: {str(error) or 'no answer'}")
            if self._stop.is_set():
                break
            self._urls.append(self._urls.pop(0))
            delay_s = self._reconnect_after_s
            if delay_s is None:
                delay_s = min(self._max_delay_s, 0.25 * 2 ** min(attempt, 10))
            self._reconnect_after_s = None
            try:
                async with asyncio.timeout(delay_s * random.uniform(0.5, 1.0)):
                    await self._stop.wait()
            except TimeoutError:
                pass
        self._outcomes.cancel()
        self._report("ended", self.ended)
        return self.ended

    # -- one connection ---------------------------------------------------------------------

    async def _connect_and_stay(self) -> None:
        self._lost.clear()
        self._was_ready, self._setup_version = False, 0
        url = self._urls[0]
        connection = await websocket.connect(
            url, on_event=self._event, on_closed=self._closed, auth=self._auth
        )
        self._connection = connection
        try:
            answer = await connection.call("register", {**self._identity, "meta": self._meta})
            if not answer.get("ok"):
                self._register_refused(answer["error"])
                return
            self._registered(answer, url)
            while not self._lost.is_set():
                try:
                    async with asyncio.timeout(_ACK_TIMEOUT_S / 2):
                        await self._lost.wait()
                except TimeoutError:
                    self._check_acks()
        finally:
            self._ready, self._connection = False, None
            connection.close()

    def _register_refused(self, error: dict[str, Any]) -> None:
        self._report("refused", f"{error['code']}: {error.get('message')}")
        if error["code"] in _HOPELESS:
            self.close(f"refused: {error['code']}: {error.get('message')}")
        else:
            self._reconnect_after_s = error.get("retry_after_s")

    def _registered(self, answer: dict[str, Any], url: str) -> None:
        self.registration = answer
        if self.first_rev is None:
            self.first_rev = answer["rev"]
        self.counts.connects += 1
        self._unanswered, self._retry_delay_s, self._must_register = 0, 0.0, False
        self._ready = self._was_ready = True
        self._settle(answer["last_seq"])
        self._report("connected", url)
        if self.counts.dropped:
            self._report("dropped", str(self.counts.dropped))
        self._run_setup(answer.get("setup_version") or 0)
        self._outcomes.send_results()
        self._send_again()

    def _closed(self, reason: str) -> None:
        if self._ready:
            self._report("disconnected", reason)
        self._ready = False
        self._lost.set()

    def _check_acks(self) -> None:
        oldest = next(iter(self._in_hand.values()), None)
        if oldest and self._unanswered and time.monotonic() - oldest.sent_s > _ACK_TIMEOUT_S:
            self._drop_connection("no acks")

    # -- updates ----------------------------------------------------------------------------

    def _pump(self) -> None:
        while self._ready and not self._is_retrying and self._waiting:
            if len(self._in_hand) >= self._window:
                return
            update = self._waiting.popleft()
            self._seq += 1
            update.seq, update.sent_s = self._seq, time.monotonic()
            self._in_hand[update.seq] = update
            self.counts.sent += 1
            self._send(update)

    def _send(self, update: Update) -> None:
        connection = self._connection
        if connection is not None:
            self._unanswered += 1
            payload = {"data": update.data, "ts": update.ts, "seq": update.seq}
            connection.emit("update_data", payload, partial(self._answered, connection, update))

    def _answered(self, connection: websocket.Connection, update: Update, answer: Any) -> None:
        if connection is not self._connection:
            return
        self._unanswered -= 1
        if answer.get("ok"):
            self._acked_seq = max(self._acked_seq, update.seq)
            if self._in_hand.pop(update.seq, None) is not None:
                self._acked(update)
            if not self._backing_off:
                self._retry_delay_s = 0.0
        else:
            self._failed(update, answer["error"])
        if self._is_retrying and self._unanswered == 0:
            delay_s = self._retry_delay_s * random.uniform(0.5, 1.0)
            asyncio.get_running_loop().call_later(delay_s, self._retry, connection)
        else:
            self._pump()

    def _acked(self, update: Update) -> None:
        self.counts.acked += 1
        self.counts.acked_samples += len(update.data)
        if self._on_acked is not None:
            self._on_acked(update, time.monotonic() - update.sent_s)

    def _failed(self, update: Update, error: dict[str, Any]) -> None:
        code = error["code"]
        self._is_retrying = True
        is_gap = code == "conflict" and "expected_seq" in error
        if code in _REGISTER_AGAIN:
            # `superseded` or `deleted` is on its way; if it is not, a new register settles it
            self._register_again(code, after_s=_NOTICE_S)
        elif is_gap and update.seq == self._acked_seq + 1:
            self._register_again(code)
        elif is_gap:
            pass  # one before it was refused
        elif error.get("retryable"):
            self.counts.deferred += 1
            if not self._backing_off:  # one step per round, however many were refused in it
                self._backing_off = True
                self._retry_delay_s = min(self._max_delay_s, max(0.1, 2 * self._retry_delay_s))
            self._retry_delay_s = max(self._retry_delay_s, error.get("retry_after_s") or 0.0)
        else:
            self._in_hand.pop(update.seq, None)
            self.counts.refused += 1
            self._report("refused", f"{code}: {error['message']}")
            if code == "internal":  # it may be stored all the same
                self._register_again(code)

    def _register_again(self, code: str, after_s: float = 0.0) -> None:
        self._reconnect_after_s, self._must_register = 1.0, True
        if self._connection is not None:
            drop = partial(self._connection.close, f"refused: {code}")
            asyncio.get_running_loop().call_later(after_s, drop)

    def _retry(self, connection: websocket.Connection) -> None:
        is_present = connection is self._connection and self._ready
        if is_present and self._is_retrying and not self._must_register:
            self._send_again()

    def _settle(self, last_seq: int) -> None:
        """Count as acked what is stored by the word of a `register` ack: only its ack was lost."""
        self._acked_seq = last_seq
        for stored in [number for number in self._in_hand if number <= last_seq]:
            self._acked(self._in_hand.pop(stored))

    def _send_again(self) -> None:
        """Renumber what is in hand behind the highest acked number and send it; then what waits."""
        updates = list(self._in_hand.values())
        self._is_retrying, self._backing_off = False, False
        self._in_hand.clear()
        for seq, update in enumerate(updates, self._acked_seq + 1):
            update.seq = seq
            self._in_hand[seq] = update
        self._seq = self._acked_seq + len(updates)
        for update in updates:
            self._send(update)
        self._pump()

    def _emit(self, event: str, payload: Any, on_ack: websocket.Reply) -> None:
        if self._connection is not None and self._ready:
            self._connection.emit(event, payload, on_ack)

    def _drop_connection(self, reason: str) -> None:
        if self._connection is not None:
            self._connection.close(reason)

    # -- what the service says --------------------------------------------------------------

    def _event(self, event: str, payload: Any, reply: websocket.Reply | None) -> None:
        if event == "command":
            self.counts.commands += 1
            self._outcomes.take(payload, reply)
        elif event == "setup":
            self._run_setup(payload.get("setup_version") or 0)
        elif event == "ping" and self._connection is not None:
            self._connection.emit("pong", payload)
        elif event in ("superseded", "deleted"):
            self.close(event)
        elif event == "service_error" and payload.get("code") == "not_authenticated":
            self._register_refused(payload)  # the token has ended
        elif event == "draining":
            self._reconnect_after_s = (payload or {}).get("reconnect_after_s", 1.0)
            self._drop_connection("the node is going away")

    def _run_setup(self, version: int) -> None:
        """Report a setup as running, as a device would that takes any."""
        # two changes made at the same time may arrive in the other order
        if version > self._setup_version and self._connection is not None:
            self._setup_version = version
            self._connection.emit("update_setup", {"reported_version": version})
