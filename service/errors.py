"""Errors that clients and callers can see, in one family.

The class docstring is the default message. `code` is the word on the wire, `status` the HTTP status,
`retryable` tells a client whether the same request may succeed later. Fields given by keyword
(`retry_after_s`, `expected_seq`, …) are sent in the error body next to them.
"""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any, ClassVar

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """Something went wrong inside the service."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, **fields: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.fields = fields
        super().__init__(self.message)

    def body(self) -> dict[str, Any]:
        """Return the error body of every API: code, message, retryable and the extra fields."""
        return {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
            **self.fields,
        }


class InvalidRequest(ServiceError):
    """The request does not have the form that this event or route requires."""

    code, status = "invalid_request", 400


class NotAuthenticated(ServiceError):
    """A valid token is required."""

    code, status = "not_authenticated", 401


class NotAllowed(ServiceError):
    """This role may not do that."""

    code, status = "not_allowed", 403


class SessionNotFound(ServiceError):
    """There is no session with this id."""

    code, status = "session_not_found", 404


class KeyNotFound(ServiceError):
    """The session has no such data key."""

    code, status = "key_not_found", 404


class VersionNotFound(ServiceError):
    """This version of the setup is not kept, or there was none."""

    code, status = "version_not_found", 404


class CommandNotFound(ServiceError):
    """The session has no such command."""

    code, status = "command_not_found", 404


class BatchNotFound(ServiceError):
    """There is no such bulk command."""

    code, status = "batch_not_found", 404


class JobNotFound(ServiceError):
    """There is no job with this id."""

    code, status = "job_not_found", 404


class FileNotFound(ServiceError):
    """There is no such file in the archive or its quarantine."""

    code, status = "file_not_found", 404


class NotRegistered(ServiceError):
    """Send `register` first: this socket is not registered as a device."""

    code, status = "not_registered", 409


class Conflict(ServiceError):
    """The request does not fit the current state."""

    code, status = "conflict", 409


class StaleGeneration(ServiceError):
    """Another connection now owns this session."""

    code, status = "stale_generation", 409


class DeviceOffline(ServiceError):
    """The device is not connected."""

    code, status = "device_offline", 409


class PreconditionFailed(ServiceError):
    """The given version is not the current one: read the current version, then try again."""

    code, status = "precondition_failed", 412


class IdempotencyMismatch(ServiceError):
    """This idempotency key came with another request before: nothing was done now."""

    code, status = "idempotency_mismatch", 422


class TooLarge(ServiceError):
    """The value is larger than allowed."""

    code, status = "too_large", 413


class RateLimited(ServiceError):
    """Too many requests: slow down."""

    code, status, retryable = "rate_limited", 429, True


class Flapping(ServiceError):
    """This id registers too often: two devices may share it."""

    code, status, retryable = "flapping", 429, True


class SlowClient(ServiceError):
    """This client reads too slowly and was disconnected."""

    code, status, retryable = "slow_client", 503, True


class CommandTimeout(ServiceError):
    """The device did not answer in time; the command stays open."""

    code, status = "command_timeout", 504


class Overloaded(ServiceError):
    """The service has no capacity for this now: try again later."""

    code, status, retryable = "overloaded", 503, True


class StoreUnavailable(ServiceError):
    """Redis cannot be reached: try again later."""

    code, status, retryable = "store_unavailable", 503, True


class StoreRefuses(StoreUnavailable):
    """Redis refuses what this service needs, until its operator grants it: try again later."""


class LateCall(StoreUnavailable):
    """Redis received this too late to act on it: try again."""


class Draining(ServiceError):
    """This node is shutting down: connect again to reach another node."""

    code, status, retryable = "draining", 503, True


class ArchiveCorrupt(ServiceError):
    """The archive of this session cannot be read and was put into quarantine."""

    code, status = "archive_corrupt", 500


class Internal(ServiceError):
    """Something went wrong inside the service."""


class ConfigError(Exception):
    """The start was refused: a setting is wrong. Carries the path of the setting in its message."""


def why_no_port(error: OSError, host: str, port: int) -> str:
    """Return why this process cannot listen there, in words: what to do differs from reason to reason."""
    if error.errno == errno.EADDRINUSE:
        hint = " (on a Mac often the AirPlay receiver)" if port == 5000 else ""
        return f"port {port} is taken by another program{hint}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not listen on port {port}: ports below 1024 need a right to, others do not"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine does not have the address {host}"
    if isinstance(error, socket.gaierror):
        return f"the name {host} is not known"
    return error.strerror or str(error)


def passed_over(error: Exception, work: str, item: str) -> ServiceError:
    """Log the failure of one item in a loop over many, so that the loop continues with the others.

    Args:
        error: caught around one item.
        work: what is done to all items, a word.
        item: the failed one.

    Raises:
        `error` itself, where it is not about this item: Redis is away or full. One that names its session
            is about that session.
    """
    whole = isinstance(error, StoreUnavailable | Overloaded) and "session_id" not in error.fields
    if whole:
        raise error
    failure = error if isinstance(error, ServiceError) else Internal()
    about = {"action": "passed_over", "work": work, "item": item, "code": failure.code}
    log.warning(
        "an item failed and was passed over",
        extra={**about, "why": str(error)[:200], "throttle": f"{work} {failure.code}"},
        exc_info=None if failure is error else error,
    )
    return failure
