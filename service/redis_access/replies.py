"""What Redis raises, as errors of ours: the one place that reads its words.

A call that failed is repeated, by us or by the caller, unless it can never succeed; so what is listed
here are the exceptions: a fault of our own (of a script, or of a type that a key has) stays what it is,
and what an operator has to set right (a password, rights, a command the server lacks) is unavailable until
then, in words of its own and in the log. Everything else that Redis may answer, now or in a later
version, behind a proxy or while another program's script runs (BUSY), means that it does not take this now.
"""

from __future__ import annotations

import logging
import re
from contextlib import AbstractContextManager

from redis.exceptions import (
    AuthenticationError,
    DataError,
    NoPermissionError,
    OutOfMemoryError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from service import errors

log = logging.getLogger(__name__)

#: What is raised when Redis is away, refuses or answers nonsense.
RAISED = (RedisError, OSError)

#: Before a reply, where redis-py names the command of a pipeline, with what a client may have sent in it.
_PIPELINE = re.compile(r"\ACommand # \d+ .* of pipeline caused error: ", re.DOTALL)
#: Replies that say that we asked for nonsense. redis-py takes away `ERR`.
_OUR_FAULT = re.compile(
    r"(?:ERR )?(?:WRONGTYPE |user_script:\d+: |Error (?:compiling|running) script"
    r"|wrong number of arg|syntax error|[a-z ]{0,40}value is not an? |no such key)",
    re.IGNORECASE,
)
#: Replies that only a person can change: rights within a script, a command that is not there.
_TO_SET_RIGHT = re.compile(
    r"(?:ERR )?(?:(?:NOPERM|NOAUTH|WRONGPASS) |ACL failure in script|unknown (?:sub)?command"
    r"|DB index is out of range|Could not find scripting engine)",
    re.IGNORECASE,
)
_CODE = re.compile(r"[A-Z]{2,20}(?= |\Z)")


class _Translated:
    """No `contextmanager`: every call of Redis passes here, and that costs seven calls in Python instead of two."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, RAISED) and (meant := service_error(error)) is not None:
            raise meant from error


_TRANSLATED = _Translated()


def translated() -> AbstractContextManager[None]:
    """Make a ServiceError of what Redis raises inside, unless it is a fault of our own."""
    return _TRANSLATED


def service_error(error: Exception) -> errors.ServiceError | None:
    """Return the error for clients of something of `RAISED`; None: it is a fault of our own."""
    if isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error):
        return errors.Overloaded("Redis is at its memory limit: try again later.")
    if is_to_set_right(error):
        about = {"action": "redis_refuses", "reason": str(error)[:300], "throttle": "refuses"}
        log.error("Redis refuses what this service needs: see docs/operations.md", extra=about)
        return errors.StoreRefuses()
    reply = words_of(error)
    if isinstance(error, DataError) or _OUR_FAULT.match(reply):
        return None
    code = _CODE.match(reply)
    if code is None or isinstance(error, RedisConnectionError | OSError):
        return errors.StoreUnavailable()
    return errors.StoreUnavailable(f"Redis does not take this now ({code[0]}): try again later.")


def is_to_set_right(error: BaseException) -> bool:
    """Return whether it fails until settings are changed, of this service or of Redis."""
    return isinstance(error, AuthenticationError | NoPermissionError) or bool(
        isinstance(error, RedisError) and _TO_SET_RIGHT.match(words_of(error))
    )


def is_without_database(error: BaseException) -> bool:
    """Return whether the server has no database of the number in the URL."""
    return isinstance(error, RedisError) and "DB index is out of range" in words_of(error)


def words_of(error: BaseException) -> str:
    """Return what Redis said, without what redis-py puts before it."""
    return _PIPELINE.sub("", str(error))
