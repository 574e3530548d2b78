"""The AsyncAPI 3 document of every event, from the models that read and describe them.

The document describes the service: it receives what clients send and sends what they get. All events
go over one channel, the namespace `/`; an ack is a reply. Keys of messages name the sender, because
`ping`, `pong` and `update_setup` have other payloads in the other direction: `client.…`, `server.…`, `ack.…`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from service.sockets import outgoing, payloads

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/channels/events/messages/"
_CHANNEL = {"$ref": "#/channels/events"}

#: A sentence for each event that clients send.
CLIENT_WORDS: Mapping[str, str] = {
    "register": "Makes this socket the owner of a session.",
    "update_data": "Stores samples: `key` and `value`, `data`, or `samples`.",
    "update_telemetry": "Stores one sample per key; other keys keep their values.",
    "update_setup": "Stores a setup, changes it by a merge patch, or reports the version that runs.",
    "ping": "A sign of life that is answered by `pong`.",
    "pong": "Answers the service's `ping`.",
    "command_result": "How a command ended that was delivered before.",
    "register_vue": "Watches a scope: a snapshot, then every change.",
    "get_active_sessions": "A page of active sessions.",
    "get_inactive_sessions": "A page of inactive sessions, then archived ones.",
    "get_active_session": "All that is kept of an active session.",
    "get_inactive_session": "All that is kept of an inactive or archived session.",
    "send_command": "Sends a command to a device, wherever it is connected.",
    "delete_session": "Removes a session for good.",
    "join_session": "This socket looks at a session.",
    "leave_session": "This socket looks at it no more.",
    "undo_setup": "Goes one setup back.",
    "redo_setup": "Takes the last undo back.",
}
#: And for each that the service sends.
SERVER_WORDS: Mapping[str, str] = {
    "registered": "The ack of `register` once more.",
    "ping": "Wants a `pong`.",
    "pong": "The payload of the client's `ping` back, with the time.",
    "command": "To be carried out once; any ack means delivered.",
    "setup": "Somebody else changed the setup.",
    "superseded": "Another socket registered this id; the connection is closed.",
    "deleted": "Somebody deleted the session; the connection is closed.",
    "draining": "This node is going away; the connection is closed.",
    "sessions_update": "Sessions of the scope changed.",
    "session_data_key_update": "A sample, with `batch` false.",
    "session_data_updates": "Samples, with `batch` true.",
    "command_update": "A command of the scope has a new status.",
    "active_sessions": "The ack of `get_active_sessions` once more.",
    "inactive_sessions": "The ack of `get_inactive_sessions` once more.",
    "active_session": "The ack of `get_active_session` once more.",
    "inactive_session": "The ack of `get_inactive_session` once more.",
    "resync": "Ask again with `register_vue`: nothing more follows until then.",
    "memory_relieved": "Sessions were archived early, because memory was short.",
    "service_error": "An error with no ack to carry it.",
}


class _Schemas(GenerateJsonSchema):
    """Draft 7 of JSON Schema, which AsyncAPI's schemas are."""

    def tuple_schema(self, schema: core_schema.TupleSchema) -> JsonSchemaValue:
        shown = super().tuple_schema(schema)
        if "prefixItems" in shown:
            shown["items"] = shown.pop("prefixItems")
        return shown


def document(version: str) -> Json:
    """Return the AsyncAPI document of the service.

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
            "polling. What is guaranteed, and examples, stand in docs/protocol.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": "{host}",
                "pathname": "/socket.io/",
                "protocol": "ws",
                "description": "Any node, or the load balancer before them.",
                "variables": {"host": {"default": "localhost:5000"}},
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            "events": {
                "address": "/",
                "title": "Namespace /",
                "description": "A message is a Socket.IO event: its `name` and one JSON object. "
                "Events may ask for an ack, which is the reply; without one an error comes as "
                "`service_error`.",
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
                    "description": "As `auth: {token}` of the connect, or in the handshake's header. "
                    "Without a login (`auth.mode` open) nobody needs one.",
                }
            },
        },
    }


def _messages() -> Json:
    found = {
        "client.connect": _message("connect", "The `auth` of the connect.", [payloads.Connect]),
        "server.connect_error": _message(
            "connect_error", "The connect was refused.", [outgoing.ConnectError]
        ),
    }
    for event, models in payloads.CLIENT_EVENTS.items():
        found[f"client.{event}"] = _message(event, CLIENT_WORDS[event], models)
    for event, model in outgoing.SERVER_EVENTS.items():
        found[f"server.{event}"] = _message(event, SERVER_WORDS[event], [model])
    for event, fields in outgoing.ACKS.items():
        ack = _message(f"{event} ack", f"Ack of `{event}`.", fields or [outgoing.Ok])
        if fields:
            ack["payload"] = {"allOf": [_reference(outgoing.Ok), ack["payload"]]}
        found[f"ack.{event}"] = ack
    found["ack.refused"] = _message("refused", "Ack of an event that failed.", [outgoing.Refused])
    found["ack.command"] = _message(
        "command ack", "The device has it; with `ok` it has ended.", [payloads.CommandAck]
    )
    return found


def _message(name: str, words: str, models: Iterable[type[BaseModel]]) -> Json:
    references = [_reference(model) for model in models]
    payload = references[0] if len(references) == 1 else {"anyOf": references}
    return {"name": name, "summary": words, "payload": payload}


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
