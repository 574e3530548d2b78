"""Muster's public names: sessions of device fleets, from a program of your own.

    from muster import SessionManager

    manager = SessionManager.connect("redis://127.0.0.1:6379/0")

What is not listed here is not promised: `service` and `workers` are the server's own.
"""

from __future__ import annotations

from service import errors
from service.config.loader import Config, load_config
from service.manager.manager import SessionManager
from service.version import installed_version

__all__ = ["Config", "SessionManager", "__version__", "errors", "load_config"]

__version__ = installed_version()
