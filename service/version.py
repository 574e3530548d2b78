"""The installed version of Muster."""

from __future__ import annotations

from functools import cache
from importlib import metadata

#: The name of the package for pip; `muster` is the command and what programs import.
DISTRIBUTION = "muster-fleet"


@cache  # nodes show it each second, and what is installed later is not what runs
def installed_version() -> str:
    """Return the version of the package that this process runs; "" in a checkout that is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # started from a checkout
        return ""
