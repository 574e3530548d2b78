"""An example of every event and ack, for the AsyncAPI document.

What clients send works as it is, in this order: a device sends the first ones, as `kiosk-7`; a dashboard the others.
What the service sends is what clients of these examples would see.
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
    "get_data": [
        {"session_id": "kiosk-7", "keys": ["temperature"], "step": 60, "agg": "max"},
        {"session_id": "kiosk-7", "keys": ["door"], "since": 1795946983.5},
    ],
    "join_session": [{"session_id": "kiosk-7"}],
    "update_setup": [{"session_id": "kiosk-7", "setup": {"screen": "night"}}],
    "undo_setup": [{"session_id": "kiosk-7"}],
    "redo_setup": [{"session_id": "kiosk-7"}],
    "send_command": [{"device_id": "kiosk-7", "command": "report_now", "wait": "queued"}],
    "leave_session": [{"session_id": "kiosk-7"}],
    "delete_session": [{"device_id": "kiosk-7"}],
}

_COMMAND_ID = "0f1e4ac34bb428353bce1465c2785b9e"
_CURSOR = "m1.5f0c1d9be2a44e71.8a17c33e90d2b6f5.18-0-41-7"
_COUNTS = {"active": 1, "inactive": 0, "archived": 12}
_SUMMARY = {
    "session_id": "kiosk-7",
    "device_id": "kiosk-7",
    "session_name": "Hall 2",
    "project_id": "plant 7",
    "state": "active",
    "is_connected": True,
    "node_id": "hall-x3k9q2m7ab",
    "created_at": 1795946901.25,
    "start_time": 1795946983.25,
    "disconnected_at": 1795946950.5,
    "disconnect_reason": "transport close",
    "setup_version": 4,
    "in_sync": False,
    "active_clients": 1,
    "open_commands": 0,
    "last_activity": 1795946983.5,
    "expect_every_s": None,
    "seen_by": "socket",
    "rev": 118,
}
_SESSION = {
    **_SUMMARY,
    "generation": 3,
    "stream": "b3f0c2",
    "last_seq": 17,
    "meta": {"model": "K2"},
    "setup": {"screen": "night"},
    "setup_timestamp": 1795946980.0,
    "reported_version": 3,
    "undo_available": True,
    "redo_available": False,
    "last_ping": 1795946983.5,
    "last_update": 1795946983.5,
    "statistics": {
        "updates": 118,
        "connects": 3,
        "connected_s": 71.5,
        "bytes_in": 5310,
        "bytes_held": 2048,
    },
    "timeline": [{"at": 1795946901.25, "event": "created"}],
    "telemetry": {"temperature": 21.8, "door": "open"},
    "data": {
        "temperature": [[21.7, 1795946982.5], [21.8, 1795946983.5]],
        "door": [["open", 1795946981.0]],
    },
}
_REGISTERED = {
    "session_id": "kiosk-7",
    "generation": 3,
    "resumed": True,
    "restored": False,
    "rev": 118,
    "last_seq": 17,
    "setup": {"screen": "night"},
    "setup_version": 4,
    "server_time": 1795946983.25,
}
_PAGE = {"sessions": [_SUMMARY], "next": None, "total": 1}
_INACTIVE = {"state": "inactive", "is_connected": False, "node_id": None}
_INACTIVE_PAGE = {"sessions": [_SUMMARY | _INACTIVE], "next": None, "total": 13}
_NO_SESSION = {
    "code": "session_not_found",
    "message": "No session 'kiosk-6'.",
    "retryable": False,
    "session_id": "kiosk-6",
}
_SETUP_CHANGED = {"setup_version": 5, "undo_available": True, "redo_available": False}

#: What the service sends; of several, each is one event.
SERVER: Mapping[str, list[dict[str, Any]]] = {
    "connect_error": [
        {
            "message": "The token has expired.",
            "data": {
                "code": "not_authenticated",
                "message": "The token has expired.",
                "retryable": False,
            },
        }
    ],
    "registered": [_REGISTERED],
    "ping": [{"server_time": 1795946983.5}],
    "pong": [{"server_time": 1795946983.5, "sent_at": 1795946983.4}],
    "command": [{"command_id": _COMMAND_ID, "command": "report_now", "params": None, "attempt": 1}],
    "setup": [{"setup": {"screen": "night"}, "setup_version": 4}],
    "superseded": [{"session_id": "kiosk-7"}],
    "deleted": [{"session_id": "kiosk-7"}],
    "kicked": [{"retry_after_s": 60}],
    "draining": [{"reconnect_after_s": 1.7}],
    "sessions_update": [
        {"changed": [_SUMMARY], "removed": ["kiosk-6"], "counts": _COUNTS, "cursor": _CURSOR}
    ],
    "session_data_key_update": [
        {
            "device_id": "kiosk-7",
            "session_id": "kiosk-7",
            "key": "temperature",
            "value": 21.8,
            "ts": 1795946983.5,
            "rev": 118,
        }
    ],
    "session_data_updates": [
        {
            "updates": [
                [
                    "kiosk-7",
                    118,
                    [["temperature", 21.7, 1795946982.5], ["temperature", 21.8, 1795946983.5]],
                ]
            ],
            "cursor": _CURSOR,
        }
    ],
    "command_update": [
        {
            "session_id": "kiosk-7",
            "command_id": _COMMAND_ID,
            "command": "report_now",
            "status": "succeeded",
            "result": "done",
            "at": 1795946983.75,
        }
    ],
    "active_sessions": [_PAGE],
    "inactive_sessions": [_INACTIVE_PAGE],
    "active_session": [{"session": _SESSION}],
    "inactive_session": [{"session": _SESSION | _INACTIVE}],
    "feed_state": [{"stale": True, "behind_s": 3.2}, {"stale": False, "behind_s": 0.3}],
    "resync": [{"reason": "feed_trimmed"}],
    "nodes": [{"nodes": ["https://node-1.example.org", "https://node-2.example.org"]}],
    "memory_relieved": [
        {
            "archived": 500,
            "before": {"available_percent": 8.5, "redis_percent": 91.2},
            "after": {"available_percent": 8.9, "redis_percent": 78.4},
            "error": "",
        }
    ],
    "service_error": [_NO_SESSION],
}
#: What is added to `ok: true` in the ack of each event that clients send.
ACKS: Mapping[str, list[dict[str, Any]]] = {
    "register": [_REGISTERED],
    "update_data": [{"rev": 118}, {"rev": 118, "duplicate": True}],
    "update_telemetry": [{"rev": 120}],
    "update_setup": [_SETUP_CHANGED, {"reported_version": 4}],
    "ping": [{"server_time": 1795946983.5}],
    "pong": [{}],
    "command_result": [{"command_id": _COMMAND_ID, "status": "succeeded"}],
    "register_vue": [
        {
            "recovered": False,
            "cursor": _CURSOR,
            "counts": _COUNTS,
            "active": [_SUMMARY],
            "inactive": [],
            "nodes": ["https://node-1.example.org", "https://node-2.example.org"],
        }
    ],
    "get_active_sessions": [_PAGE],
    "get_inactive_sessions": [_INACTIVE_PAGE],
    "get_active_session": [{"session": _SESSION}],
    "get_inactive_session": [{"session": _SESSION | _INACTIVE}],
    "get_data": [
        {
            "data": {"temperature": [[21.8, 1795946940]]},
            "cut": [],
            "setting": "sessions.history",
            "kept": {"temperature": {"oldest": 1795946943.5, "samples": 2, "at_most": 100}},
        }
    ],
    "send_command": [{"command_id": _COMMAND_ID, "status": "queued"}],
    "delete_session": [{}],
    "join_session": [{"active_clients": 1}],
    "leave_session": [{"active_clients": 0}],
    "undo_setup": [{"setup_version": 6, "undo_available": False, "redo_available": True}],
    "redo_setup": [{"setup_version": 7, "undo_available": True, "redo_available": False}],
}
REFUSED: list[dict[str, Any]] = [{"ok": False, "error": _NO_SESSION}]
#: A token is what `muster token` prints.
CONNECT: list[dict[str, Any]] = [{}, {"token": "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoidmlld2VyIn0.c2ln"}]
#: Of a device, to `command`.
COMMAND_ACK: list[dict[str, Any]] = [
    {},
    {"ok": True, "result": "done"},
    {"ok": False, "error": {"code": "busy", "message": "The printer is printing."}},
]
