"""Refusals of updates: the errors that devices are sent when an update is not stored."""

from __future__ import annotations

from service import errors
from service.errors import ServiceError
from service.live.ownership.owned import OwnedSession


def lost_error(owned: OwnedSession) -> ServiceError:
    """Return the error for updates of a session whose claim is lost."""
    if owned.lost == "deleted":
        return errors.SessionNotFound("The session was deleted.")
    return errors.StaleGeneration()


def gap_error(expected_seq: int) -> errors.Conflict:
    """Return the error for an update that another one must come before."""
    return errors.Conflict(f"seq {expected_seq} must come next.", expected_seq=expected_seq)


def word_error(word: str) -> ServiceError:
    """Return the error for a part of a flush that Redis refused with this word."""
    if word == "too_many_keys":
        return errors.TooLarge("The session has as many data keys as are allowed.")
    if word == "too_large":
        return errors.TooLarge(
            "The session holds all that it may (sessions.max_bytes), and this does not fit."
        )
    return errors.Internal(f"Unknown answer of append: {word[:40]}")
