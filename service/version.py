"""The installed version of Muster."""

from __future__ import annotations

from importlib import metadata

#: The name of the package for pip; `muster` is the command and what programs import.
DISTRIBUTION = "muster-fleet"


def installed_version() -> str:
    """Return the package's version; "" in a checkout that is not installed."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:  # started from a checkout
        return ""
