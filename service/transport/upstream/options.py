"""Options of a node's Socket.IO server, and the versions of the libraries they are for."""

from __future__ import annotations

import logging
from importlib import metadata
from typing import Any

import orjson

WRITTEN_FOR = {
    "python-engineio": "4.15.1",
    "python-socketio": "5.18.1",
    "eventlet": "0.41.3",
    "gevent": "26.9.0",
}


class AllSeen(set[str]):
    """A set that contains everything, so that Engine.IO never logs bad requests with their content."""

    def __contains__(self, key: object) -> bool:
        return True


class StrictJson:
    """The JSON module for python-socketio: no NaN, no broken text, nothing deeper than 1024."""

    JSONDecodeError = orjson.JSONDecodeError

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        return orjson.loads(text)


def server_options(
    async_mode: str, ping_interval_s: float, ping_timeout_s: float, max_frame_bytes: int
) -> dict[str, Any]:
    """Return the keyword arguments for `flask_socketio.SocketIO` that `EngineConnections` needs."""
    return {
        "async_mode": async_mode,
        "ping_interval": ping_interval_s,
        "ping_timeout": ping_timeout_s,
        "max_http_buffer_size": max_frame_bytes,
        "monitor_clients": False,  # EngineConnections does it
        "manage_session": False,  # else a copy of a session per client
        "async_handlers": True,  # call() needs it
        "always_connect": False,
        "cookie": None,
        "json": StrictJson,
        "logger": _quiet_logger("socketio"),
        "engineio_logger": _quiet_logger("engineio"),
    }


def _quiet_logger(name: str) -> logging.Logger:
    """Return a logger of ours for the library: for our failures, not for what clients do or send."""
    logger = logging.getLogger(f"{__name__}.{name}")
    logger.setLevel(logging.ERROR)
    return logger


def other_versions(async_mode: str) -> dict[str, str]:
    """Return the installed versions that differ from those this package was written for.

    Args:
        async_mode: eventlet or gevent; the other one does not matter.
    """
    unused = {"eventlet": "gevent", "gevent": "eventlet"}
    found = {name: metadata.version(name) for name in WRITTEN_FOR if name != unused.get(async_mode)}
    return {name: version for name, version in found.items() if version != WRITTEN_FOR[name]}
