"""What a start waits for: all that may pass, and nothing that a person has to set right."""

from __future__ import annotations

import itertools
import socket
import ssl

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from service import errors
from service.redis_access import patience
from service.redis_access.patience import await_redis
from service.redis_access.trouble import NAME_S, trouble_of


class Clock:
    """Time that only waiting makes pass."""

    now = 1000.0
    waited = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.waited += 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(patience, "time", clock)
    return clock


def away(cause: BaseException) -> errors.ServiceError:
    """As a call of Redis raises it."""
    outer = RedisConnectionError(f"Error connecting: {cause}")
    outer.__cause__ = cause
    error = errors.StoreUnavailable()
    error.__cause__ = outer
    return error


UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(
    ("cause", "words", "patience_s"),
    [
        (ConnectionRefusedError(), "nothing listens there", None),
        (TimeoutError(), "it does not answer", None),
        (ssl.SSLError("wrong version"), "it does not speak TLS as we do", None),
        (ssl.SSLCertVerificationError("self-signed"), "its TLS certificate is not trusted", 0),
        (AuthenticationError("WRONGPASS"), "it refuses the user or the password", 0),
        (UNKNOWN, "the name of its host is not known", NAME_S),
        (socket.gaierror(socket.EAI_AGAIN, "later"), "it does not answer", None),
    ],
)
def test_trouble_says_how_long_it_makes_sense_to_wait(
    cause: BaseException, words: str, patience_s: float | None
) -> None:
    trouble = trouble_of(away(cause))
    assert trouble.words.startswith(words)
    assert trouble.patience_s == patience_s


def test_start_waits_for_as_long_as_it_takes_and_says_why(clock: Clock) -> None:
    answers = [*[away(ConnectionRefusedError())] * 50, errors.Overloaded()]
    shown: list[str] = []

    def opened() -> str:
        if answers:
            raise answers.pop(0)
        return "open"

    assert (
        await_redis(opened, "redis.url", "r:1", sleep=clock.sleep, on_wait=shown.append) == "open"
    )
    assert len(shown) == clock.waited == 51
    assert shown[0] == "waiting for Redis: nothing listens there"


@pytest.mark.parametrize(
    ("cause", "waited_s"), [(AuthenticationError("WRONGPASS"), 0), (UNKNOWN, NAME_S)]
)
def test_start_ends_where_waiting_does_not_help(
    clock: Clock, cause: BaseException, waited_s: float
) -> None:
    def opened() -> None:
        assert clock.waited < 100
        raise away(cause)

    with pytest.raises(errors.ConfigError, match=r"redis\.url: r:1: "):
        await_redis(opened, "redis.url", "r:1", sleep=clock.sleep)
    assert clock.now - 1000.0 == waited_s


def test_who_waits_so_long_at_most_gives_up(clock: Clock) -> None:
    tries = itertools.count()

    def opened() -> None:
        assert next(tries) < 100
        raise away(ConnectionRefusedError())

    with pytest.raises(errors.StoreUnavailable, match="nothing listens there"):
        await_redis(opened, "redis.url", "r:1", sleep=clock.sleep, at_most_s=3)
    assert clock.now - 1000.0 == pytest.approx(4)
