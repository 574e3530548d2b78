"""Which version of Muster this is."""

from __future__ import annotations

from importlib import metadata

#: Under which name pip knows it; `muster` is the command and what programs import.
DISTRIBUTION = "muster-fleet"


def installed_version() -> str:
    """Of the package; "" in a checkout that is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # started from a checkout
        return ""
