"""Calls of many tasks at one time, in one round trip.

The first caller sends at once. Those who come while its answer is missing wait, and go together behind it: no call
waits for a clock, and the busier it is, the more calls share the cost of a round trip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from service.errors import ServiceError
from service.redis_access.replies import RAISED
from service.tasks import Event

#: Calls in one round trip: the answer to the first comes with that to the last.
MOST = 64


class _Asked:
    """One call, and what became of it."""

    __slots__ = ("answer", "call", "is_over", "is_told", "woken")

    def __init__(self, call: Any) -> None:
        self.call = call
        self.answer: Any = None
        self.is_over = False
        #: Another one has found that no answer comes.
        self.is_told = False
        #: Set when it is over, or its turn to send has come.
        self.woken: Event | None = None


class Together:
    """A way on which calls share their round trips. For tasks that switch only where they wait.

    Args:
        send: sends some calls; returns for each its answer, or the exception that it is answered with.
        event: makes what a task waits for.
    """

    def __init__(
        self, send: Callable[[Sequence[Any]], Sequence[Any]], event: Callable[[], Event]
    ) -> None:
        self._send = send
        self._event = event
        self._waiting: deque[_Asked] = deque()
        self._is_busy = False

    def ask(self, call: Any) -> Any:
        """Return the answer to one call; raise what it is answered with, or why there is no answer."""
        one = _Asked(call)
        self._waiting.append(one)
        if self._is_busy:
            self._wait(one)
        if not one.is_over:
            self._send_first()
        if isinstance(one.answer, Exception):
            if one.is_told:
                # the same error is raised for many: each would keep the frames of all before it
                one.answer.__traceback__ = None
            raise one.answer
        return one.answer

    def _wait(self, one: _Asked) -> None:
        one.woken = self._event()
        try:
            one.woken.wait()
        except BaseException:  # this task ends; the others must not wait for it
            if one in self._waiting:
                is_its_turn = one.woken.is_set()
                self._waiting.remove(one)
                if is_its_turn:
                    self._pass_on()
            raise

    def _send_first(self) -> None:
        """Send the calls that wait, the own one first."""
        self._is_busy = True
        some = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        answers: Sequence[Any] | None = None
        try:
            answers = self._answers([one.call for one in some])
        except (
            *RAISED,
            ServiceError,
        ) as error:  # those behind have waited as long, and would again
            some += self._waiting
            self._waiting.clear()
            answers = [error] * len(some)
            for one in some[1:]:
                one.is_told = True
        finally:
            if answers is None:  # this task is ended meanwhile
                answers = [RedisConnectionError("The call was cut off.")] * len(some)
            for one, answer in zip(some, answers, strict=True):
                one.answer, one.is_over = answer, True
                if one.woken is not None:
                    one.woken.set()
            self._pass_on()

    def _answers(self, calls: Sequence[Any]) -> Sequence[Any]:
        try:
            return self._send(calls)
        except (*RAISED, ServiceError):
            raise
        except Exception as error:  # noqa: BLE001  raised by the one whose call cannot be sent
            if len(calls) == 1:
                return [error]
        return [answer for call in calls for answer in self._answers([call])]

    def _pass_on(self) -> None:
        """Let the first of those who wait send."""
        self._is_busy = bool(self._waiting)
        if self._waiting:
            first = self._waiting[0]
            assert first.woken is not None
            first.woken.set()
