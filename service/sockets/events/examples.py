"""An example of every event that clients send, for the AsyncAPI document: sent as it is, in this order, it works.

A device sends the first ones, as `kiosk-7`; a dashboard the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEVICE: Mapping[str, list[dict[str, Any]]] = {
    "register": [{"device_id": "kiosk-7", "session_name": "Hall 2", "project_id": "plant 7"}],
    "update_data": [
        {"key": "temperature", "value": 21.5},
        {"data": {"temperature": 21.6, "door": "open"}},
        {"samples": [["temperature", 21.7], ["temperature", 21.8, 1795946983.5]]},
    ],
    "update_telemetry": [{"telemetry": {"temperature": 21.9, "door": "closed"}}],
    "ping": [{}],
    "pong": [{}],
    "command_result": [
        {"command_id": "0f1e4ac34bb428353bce1465c2785b9e", "ok": True, "result": "done"}
    ],
}
DASHBOARD: Mapping[str, list[dict[str, Any]]] = {
    "register_vue": [{"scope": {"project_id": "plant 7"}, "batch": True}, {}],
    "get_active_sessions": [{}],
    "get_inactive_sessions": [{}],
    "get_active_session": [{"device_id": "kiosk-7"}],
    "get_inactive_session": [{"device_id": "kiosk-6"}],
    "join_session": [{"session_id": "kiosk-7"}],
    "update_setup": [{"session_id": "kiosk-7", "setup": {"screen": "night"}}],
    "undo_setup": [{"session_id": "kiosk-7"}],
    "redo_setup": [{"session_id": "kiosk-7"}],
    "send_command": [{"device_id": "kiosk-7", "command": "report_now", "wait": "queued"}],
    "leave_session": [{"session_id": "kiosk-7"}],
    "delete_session": [{"device_id": "kiosk-7"}],
}
