"""Errors of the package and of the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MusterError(Exception):
    """Base of all errors of this package."""


class NotConnected(MusterError, ConnectionError):
    """The connection ended, or could not be made; whether a request took effect is not known."""


class BufferInUse(MusterError):
    """Another process has the device's buffer open."""


class BadBuffer(MusterError):
    """A buffer file cannot be read."""


class Refused(MusterError):
    """The service answered with an error.

    Attributes:
        code: Such as `session_not_found`; docs/protocol.md lists all.
        message: In words.
        retryable: Whether the same request may succeed later.
        retry_after_s: When; None: the service did not say.
        details: All fields of the error.
    """

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.details = dict(error)
        self.code = str(error.get("code", "internal"))
        self.message = str(error.get("message", ""))
        self.retryable = bool(error.get("retryable"))
        after = error.get("retry_after_s")
        self.retry_after_s = float(after) if isinstance(after, (int, float)) else None
        super().__init__(f"{self.code}: {self.message}")


class Conflict(Refused):
    """A setup has another version by now.

    Attributes:
        version: The present one.
    """

    def __init__(self, error: Mapping[str, Any], version: int | None) -> None:
        super().__init__(error)
        self.version = version
