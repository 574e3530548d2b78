"""Which version of Muster this is."""

from __future__ import annotations

from importlib import metadata


def installed_version() -> str:
    """Of the package; "" in a checkout that is not installed."""
    try:
        return metadata.version("muster")
    except metadata.PackageNotFoundError:  # started from a checkout
        return ""
