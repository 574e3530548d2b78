"""The AsyncAPI 3 document of every event, made from the models in `payloads` and `outgoing`.

It is written from the view of the service: `receive` is what clients send. All events use one channel, the
namespace `/`; an ack is a reply. Message keys begin with the sender (`client.…`, `server.…`, `ack.…`),
because the payloads of `ping`, `pong` and `update_setup` differ by direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import (
    GenerateJsonSchema,
    JsonSchemaMode,
    JsonSchemaValue,
    models_json_schema,
)
from pydantic_core import core_schema

from service.security import permissions
from service.sockets.events import examples, outgoing, payloads

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/channels/events/messages/"
_CHANNEL = {"$ref": "#/channels/events"}

#: A sentence for each event that clients send.
CLIENT_WORDS: Mapping[str, str] = {
    "register": "Make this socket the owner of a session; create or restore the session if needed.",
    "update_data": "Store samples: `key` and `value`, `data`, or `samples`.",
    "update_telemetry": "Store one sample per key; other keys keep their values.",
    "update_setup": "Store a setup, change it by a merge patch, or report the version that the device runs.",
    "ping": "A heartbeat; the answer is `pong`.",
    "pong": "Answer the service's `ping`.",
    "command_result": "Report the result of a command that was delivered earlier.",
    "register_vue": "Watch a scope: a snapshot, then every change.",
    "get_active_sessions": "List active sessions, page by page.",
    "get_inactive_sessions": "List inactive sessions, then archived ones, page by page.",
    "get_active_session": "Get an active session with all its data.",
    "get_inactive_session": "Get an inactive or archived session with all its data.",
    "get_data": "Get samples of data keys by time, or one point per interval.",
    "send_command": "Send a command to a device, on whatever node it is connected.",
    "delete_session": "Delete a session from Redis and from the archive.",
    "join_session": "Count this socket as a client of a session.",
    "leave_session": "No longer count this socket as a client of a session.",
    "undo_setup": "Go back to the previous setup.",
    "redo_setup": "Undo the last undo.",
}
#: And for each that the service sends.
SERVER_WORDS: Mapping[str, str] = {
    "registered": "The content of the ack of `register`, as an event.",
    "ping": "Asks for a `pong`.",
    "pong": "The payload of the client's `ping`, with the time added.",
    "command": "A command to execute once; any ack means delivered.",
    "setup": "The setup was changed by another client.",
    "superseded": "Another socket registered this id; the connection is closed.",
    "deleted": "The session was deleted; the connection is closed.",
    "kicked": "An operator disconnected this device; the connection is closed.",
    "draining": "This node is shutting down; the connection is closed.",
    "sessions_update": "Sessions of the scope changed.",
    "session_data_key_update": "One sample; sent if `batch` is false.",
    "session_data_updates": "A batch of samples; sent if `batch` is true.",
    "command_update": "A command of the scope has a new status.",
    "active_sessions": "The content of the ack of `get_active_sessions`, as an event.",
    "inactive_sessions": "The content of the ack of `get_inactive_sessions`, as an event.",
    "active_session": "The content of the ack of `get_active_session`, as an event.",
    "inactive_session": "The content of the ack of `get_inactive_session`, as an event.",
    "feed_state": "What was sent is not current, or is current again.",
    "resync": "Changes were lost; no more events follow until the next `register_vue`.",
    "nodes": "A node came or went: where they are now.",
    "memory_relieved": "Sessions were archived early, because memory was low.",
    "service_error": "An error of an event that asked for no ack, or that concerns the connection.",
}


class _Schemas(GenerateJsonSchema):
    """Draft 7 of JSON Schema, which AsyncAPI's schemas are."""

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        shown = super().tuple_schema(schema)
        if "prefixItems" in shown:
            shown["items"] = shown.pop("prefixItems")
        return shown


@cache
def document(version: str) -> Json:
    """Return the AsyncAPI document of the service: made once for all nodes of a process, and not to be changed.

    Args:
        version: of the service.
    """
    messages, operations = _messages(), _operations()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Muster",
            "version": version,
            "description": "Devices and dashboards over Socket.IO v5 (Engine.IO v4), websocket or "
            "polling. Guarantees and examples are in docs/protocol.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": "{host}",
                "pathname": "/socket.io/",
                "protocol": "ws",
                "description": "Any node, or the load balancer in front of the nodes.",
                "variables": {"host": {"default": "localhost:5000"}},
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "events": {
                "address": "/",
                "title": "Namespace /",
                "description": "A message is a Socket.IO event: its `name` and one JSON object. "
                "Every event may ask for an ack, which is the reply; if it asks for none, an error "
                "is sent as `service_error`.",
                "messages": {key: {"$ref": f"#/components/messages/{key}"} for key in messages},
            }
        },
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": _schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Sent as `auth: {token}` of the connect, or in the `Authorization` "
                    "header of the handshake. With `auth.mode` open no token is needed.",
                }
            },
        },
    }


def _messages() -> Json:
    found = {
        "client.connect": _message(
            "connect", "The `auth` of the connect.", [payloads.Connect], examples.CONNECT
        ),
        "server.connect_error": _message(
            "connect_error",
            "The connect was refused.",
            [outgoing.ConnectError],
            examples.SERVER["connect_error"],
        ),
    }
    for event, models in payloads.CLIENT_EVENTS.items():
        shown = examples.DEVICE.get(event) or examples.DASHBOARD[event]
        found[f"client.{event}"] = _message(event, CLIENT_WORDS[event], models, shown)
    for event, model in outgoing.SERVER_EVENTS.items():
        shown = examples.SERVER[event]
        found[f"server.{event}"] = _message(event, SERVER_WORDS[event], [model], shown)
    for event, fields in outgoing.ACKS.items():
        shown = [{"ok": True, **more} for more in examples.ACKS[event]]
        ack = _message(f"{event} ack", f"Ack of `{event}`.", fields or [outgoing.Ok], shown)
        if fields:
            ack["payload"] = {"allOf": [_reference(outgoing.Ok), ack["payload"]]}
        found[f"ack.{event}"] = ack
    found["ack.refused"] = _message(
        "refused", "Ack of an event that failed.", [outgoing.Refused], examples.REFUSED
    )
    found["ack.command"] = _message(
        "command ack",
        "The device has received the command; with `ok`, also its result.",
        [payloads.CommandAck],
        examples.COMMAND_ACK,
    )
    return found


def _message(
    name: str, words: str, models: Iterable[type[BaseModel]], shown: Iterable[Json]
) -> Json:
    references = [_reference(model) for model in models]
    payload = references[0] if len(references) == 1 else {"anyOf": references}
    examples = [{"name": name, "payload": one} for one in shown]
    return {"name": name, "summary": words, "payload": payload, "examples": examples}


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": _SCHEMAS + model.__name__}


def _operations() -> Json:
    found = {
        "receive_connect": _operation(
            "receive", "client.connect", "A client connects.", ["server.connect_error"]
        )
    }
    for event, words in CLIENT_WORDS.items():
        operation = _operation("receive", f"client.{event}", words, [f"ack.{event}", "ack.refused"])
        roles = permissions.EVENTS[event].roles
        operation["x-roles"] = [role for role in permissions.ROLES if role in roles]
        found[f"receive_{event}"] = operation
    for event, words in SERVER_WORDS.items():
        replies = ["ack.command"] if event == "command" else []
        found[f"send_{event}"] = _operation("send", f"server.{event}", words, replies)
    return found


def _operation(action: str, message: str, words: str, replies: list[str]) -> Json:
    shown: Json = {
        "action": action,
        "channel": _CHANNEL,
        "summary": words,
        "messages": [{"$ref": _MESSAGES + message}],
    }
    if replies:
        answers = [{"$ref": _MESSAGES + reply} for reply in replies]
        shown["reply"] = {"channel": _CHANNEL, "messages": answers}
    return shown


def _schemas() -> Json:
    taken: list[type[BaseModel]] = [payloads.Connect, payloads.CommandAck]
    for models in payloads.CLIENT_EVENTS.values():
        taken += models
    sent: list[type[BaseModel]] = [outgoing.Ok, outgoing.Refused, outgoing.ConnectError]
    sent += outgoing.SERVER_EVENTS.values()
    for fields in outgoing.ACKS.values():
        sent += fields
    modes: dict[type[BaseModel], JsonSchemaMode] = dict.fromkeys(taken, "validation")
    modes.update(dict.fromkeys(sent, "serialization"))
    _, schemas = models_json_schema(
        list(modes.items()), ref_template=_SCHEMAS + "{model}", schema_generator=_Schemas
    )
    found: Json = schemas["$defs"]
    return found
