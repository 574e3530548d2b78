"""Which road a node takes: `node.native`, and what is installed."""

from __future__ import annotations

import importlib
import logging
from typing import Any, Literal

from service.errors import ConfigError

log = logging.getLogger(__name__)

#: What road.c must say of itself: a file that was built before a change of it is not used.
INTERFACE = 1

Road = Literal["native", "python"]
NATIVE: Road = "native"
PYTHON: Road = "python"

MODULE = "service.native.road"
_MEND = (
    "install Muster where there is a C compiler and Python's headers, with MUSTER_NATIVE=1, which says what is "
    "missing, or install the wheel for this platform; or set it to auto"
)


def choose_road(wanted: bool | Literal["auto"]) -> Any:
    """Return the module in C, or None: Python reads everything.

    Args:
        wanted: `node.native`; `auto`: if it is there.

    Raises:
        ConfigError: it is required, and cannot be used.
    """
    if wanted is False:
        return None
    try:
        road = importlib.import_module(MODULE)
        if road.INTERFACE == INTERFACE:
            return road
        why = "it was built from other sources"
    except ImportError as exc:
        why = str(exc)
    if wanted is True:
        raise ConfigError(f"node.native: the module in C cannot be used ({why}): {_MEND}")
    log.info("the module in C cannot be used", extra={"action": "road_not_native", "because": why})
    return None
