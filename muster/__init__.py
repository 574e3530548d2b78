"""Muster's public names: sessions of device fleets, from a program of your own.

    from muster import SessionManager

    manager = SessionManager.connect("redis://127.0.0.1:6379/0")

Only the names listed here are stable: `service` and `workers` are the server's own.
"""

from __future__ import annotations

from pathlib import Path

try:
    from service import errors
    from service.config.loader import Config, load_config
    from service.manager.manager import SessionManager
    from service.version import installed_version
except ImportError as exc:
    import service

    found, ours = service.__file__, Path(__file__).parents[1] / "service" / "__init__.py"
    if found and Path(found) == ours:
        raise
    raise ImportError(
        f"{found or 'a folder `service`'} hides Muster's own package of that name: "
        "start Python with -P, or give that one another name"
    ) from exc

__all__ = ["Config", "SessionManager", "__version__", "errors", "load_config"]

__version__ = installed_version()
