"""What reads the updates of devices: `node.native`, and what is installed."""

from __future__ import annotations

import importlib
import logging
from typing import Any, Literal

from service.errors import ConfigError

log = logging.getLogger(__name__)

#: What reader.c must say of itself: a file that was built before a change of it is not used.
INTERFACE = 2

ReadBy = Literal["native", "python"]
NATIVE: ReadBy = "native"
PYTHON: ReadBy = "python"

MODULE = "service.native.reader"
_MEND = (
    "install Muster where there is a C compiler and Python's headers, with MUSTER_NATIVE=1, which says what is "
    "missing, or install the wheel for this platform; or set it to auto"
)


def find_native(wanted: bool | Literal["auto"]) -> Any:
    """Return the module in C, or None: Python reads everything.

    Args:
        wanted: `node.native`; `auto`: if it is there.

    Raises:
        ConfigError: it is required, and cannot be used.
    """
    if wanted is False:
        return None
    try:
        native = importlib.import_module(MODULE)
        if native.INTERFACE == INTERFACE:
            return native
        why = "it was built from other sources"
    except ImportError as exc:
        why = str(exc)
    if wanted is True:
        raise ConfigError(f"node.native: the module in C cannot be used ({why}): {_MEND}")
    log.info("the module in C cannot be used", extra={"action": "no_native_reader", "because": why})
    return None
