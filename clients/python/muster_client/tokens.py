"""Tokens: fixed ones, and functions that give them."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Awaitable, Callable

from muster_client.errors import NotConnected
from muster_client.protocol import loads

Token = str | Callable[[], "str | Awaitable[str]"]


async def current(token: Token | None) -> str | None:
    """Return the token to show now.

    Raises:
        NotConnected: The function that gives it failed.
    """
    if token is None or isinstance(token, str):
        return token
    try:
        given = token()
        return await given if inspect.isawaitable(given) else given
    except Exception as error:
        raise NotConnected(f"the token function failed: {error!r}") from error


def left_s(token: str | None, now: float) -> float | None:
    """Return how long a JSON Web Token lasts; None: for ever, or it cannot be read."""
    try:
        claims = str(token).split(".")[1]
        found = loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        return float(found) - now if isinstance(found, (int, float)) else None
    except (IndexError, KeyError, TypeError, ValueError, OverflowError):
        return None
