"""Devices, dashboards and operators of Muster."""

from muster_client.changes import Change
from muster_client.devices.buffer import Bounds
from muster_client.devices.device import AsyncDevice
from muster_client.errors import (
    BadBuffer,
    BufferInUse,
    Conflict,
    MusterError,
    NotConnected,
    Refused,
)
from muster_client.fleet import AsyncFleet
from muster_client.operator import Operator
from muster_client.threads import Device, Fleet
from muster_client.version import __version__

__all__ = [
    "AsyncDevice",
    "AsyncFleet",
    "BadBuffer",
    "Bounds",
    "BufferInUse",
    "Change",
    "Conflict",
    "Device",
    "Fleet",
    "MusterError",
    "NotConnected",
    "Operator",
    "Refused",
    "__version__",
]
