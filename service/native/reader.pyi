"""The types of reader.c."""

from collections.abc import Callable
from typing import Any

INTERFACE: int

def read(
    data: bytes,
    origin: tuple[object, bytes] | None,
    settings: tuple[
        int,  # max_bytes: the longest message
        int,  # max_value_bytes: the longest value of a sample, as JSON
        Callable[[], bytes],  # now: the time of samples that have none, as JSON
        Callable[[str], bytes],  # head: `["key",` for a legal key, else b""
        type[tuple[Any, ...]],  # Updates
    ],
    /,
) -> tuple[list[Any], int]:
    """Read the messages at the beginning of what a socket has received.

    Args:
        data: from the beginning of a frame on.
        origin: whose updates are read here, and the id of its session as JSON; None: no one's.

    Returns:
        Each a str or `Updates`, in order, and how many bytes they took.
    """
