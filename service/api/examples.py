"""An example for each body and each id in a path, which works when it is sent as it is: what Swagger UI fills in.

Without them it invents text that fits a pattern, and no device knows such a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: operationId → body
BODIES: Mapping[str, Any] = {
    "create_session": {"session_name": "Shift report", "project_id": "plant 7"},
    "disconnect_device": {"retry_after_s": 60},
    "post_telemetry": {"telemetry": {"temperature": 21.5, "door": "open"}},
    "report_update": {"data": {"temperature": 21.5, "door": "open"}, "expect_every_s": 900},
    "put_setup": {"setup": {"screen": "night", "volume": 3}},
    "patch_setup": {"volume": 5, "screen": None},
    "send_command": {"command": "report_now", "params": None, "wait": "queued", "ttl_s": 60},
    "send_bulk": {"command": "report_now", "filter": {"state": "active"}, "ttl_s": 60},
    "cleanup": {"max_inactive_hours": 720, "dry_run": True},
    "unquarantine": {"item": "2c3a/kiosk-7~1795946983469-13.json.zst"},
}
#: name of a path parameter → value
IDS: Mapping[str, str] = {
    "session_id": "kiosk-7",
    "key": "temperature",
    "version": "3",
    "command_id": "0f1e4ac34bb428353bce1465c2785b9e",
    "batch_id": "0f1e4ac34bb428353bce1465c2785b9e",
    "job_id": "muster-verify",
    "item": "2c3a/kiosk-7~1795946983469-13.json.zst",
}


def add_examples(document: Mapping[str, Any]) -> None:
    """Put the examples into an OpenAPI document."""
    for item in document["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in IDS:
                    parameter["example"] = IDS[parameter["name"]]
            body = BODIES.get(operation["operationId"])
            if body is not None:
                for content in operation["requestBody"]["content"].values():
                    content["example"] = body
