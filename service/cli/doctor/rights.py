"""What `muster doctor` finds about the rights of an ACL user: asked of Redis itself, nothing is carried out.

Redis looks at rights when a command is queued in a MULTI, which is then discarded. Not by `acl_check_cmd`
within a script, which reads arguments that are not there: it ended a Valkey 9.1. The commands of our own
scripts are read from them; those that nodes, workers and RQ send are listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from service.cli.doctor.findings import Finding
from service.config.loader import Config
from service.sessions.store.scripts import load_scripts

MEND = "give it the rights of docs/operations.md, Rights in Redis"
#: Commands about a key that processes send outside of scripts.
KEYED = (
    *(
        "blmove",
        "exists",
        "expire",
        "get",
        "hget",
        "hgetall",
        "hincrbyfloat",
        "hset",
        "lindex",
        "llen",
    ),
    *("lpos", "lrange", "lrem", "persist", "rpush", "set", "smembers", "ttl", "unlink", "xadd"),
    *("xrange", "xrevrange", "zadd", "zrange", "zrem", "zrevrange", "zscore"),
)
#: Some of what RQ does with its own keys.
KEYED_BY_JOBS = ("blmove", "hset", "rpush", "set", "zadd")
#: The same without a key; as many words as Redis asks for at least.
KEYLESS = (
    "evalsha x 0",
    "script load x",
    "script exists x",
    "wait 0 1",
    "client setname x",
    "time",
)
#: What is done without, and what it costs.
WISHED = {
    "info": "its memory is not watched, and a restart of it is not seen",
    "config get x": "some of its settings are not checked",
}
#: How many arguments a command wants: each number is tried, because arity comes before rights.
_ARGUMENTS = range(1, 7)

Command = tuple[str, ...]


def check_rights(client: redis.Redis, config: Config) -> list[Finding]:
    """Check that this user may do what nodes and workers do; nothing is said of a server that is a replica."""
    try:
        missing = _refused(client, _needed(config))
    except RedisConnectionError:
        return []  # away, or a replica, which takes no writes at all: other checks report it
    if missing:
        return [Finding("rights", "error", f"this user may not: {', '.join(missing)}", MEND)]
    blind = _refused(client, [tuple(name.split()) for name in WISHED])
    if blind:
        lost = [f"{name.split()[0]}: {why}" for name, why in WISHED.items() if name in blind]
        return [Finding("rights", "warning", f"this user may not {'; '.join(lost)}", MEND)]
    return [Finding("rights", "ok", "this user may do what nodes and workers do")]


def _needed(config: Config) -> list[Command]:
    prefix = config.redis.key_prefix
    scripts = {name for text in load_scripts().values() for name in _commands_of(text)}
    needed = list(_about(f"{prefix}:rights", scripts | set(KEYED)))
    needed += _about("rq:rights", KEYED_BY_JOBS)
    needed += [tuple(line.split()) for line in KEYLESS]
    needed.append(("publish", "rq:rights", "x"))
    if config.redis.url.startswith("redis+sentinel"):
        needed.append(("role",))
    return needed


def _commands_of(lua: str) -> set[str]:
    """Return the commands a script calls; INFO it does without."""
    return {name.lower() for name in re.findall(r"call\('([A-Z]+)'", lua)} - {"info", "time"}


def _about(key: str, names: Iterable[str]) -> list[Command]:
    return [(name, *[key] * count) for name in sorted(names) for count in _ARGUMENTS]


def _refused(client: redis.Redis, commands: list[Command]) -> list[str]:
    """Those that this user may not send, each once; Redis has carried out none."""
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        sent = [("multi",), *commands, ("discard",)]
        connection.send_packed_command(connection.pack_commands(sent))
        replies = [_reply(connection) for _ in sent]
    finally:
        connection.disconnect()  # with what it takes of Redis's memory
        pool.release(connection)
    asked = zip(commands, replies[1:-1], strict=True)
    named = (" ".join(dict.fromkeys(command)) for command, reply in asked if _is_refusal(reply))
    return list(dict.fromkeys(named))


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as exc:
        return exc


def _is_refusal(reply: Any) -> bool:
    return isinstance(reply, NoPermissionError) or "unknown command" in str(reply)
