"""Keys, scripts and fields of Redis are the same in the docs and in the code."""

from __future__ import annotations

import re

from service.sessions.store.keys import Keys
from service.sessions.store.scripts import LUA_DIR, SHARED, load_scripts
from tests.support.pages import code, read, rows


def test_redis_keys_in_the_docs_are_those_of_the_code() -> None:
    """Every method of `Keys` makes a key of the table, and the scripts name no other."""
    keys = Keys("P", 1)
    examples = {
        "session_id": "<id>",
        "partition": 0,
        "node_id": "<node_id>",
        "worker": "<name>",
        "project_id": "<project_id>",
        "data_key": "<key>",
        "writer_id": "<node_id>",
        "token": "<token>",
        "batch_id": "<batch_id>",
        "sweep": "<sweep>",
        "sid": "<sid>",
    }
    made = {
        keys.meta,
        keys.mq,
        keys.nodes,
        keys.workers,
        keys.alarms,
        keys.alarm_history,
        keys.upkeep,
        keys.turns,
        keys.quarantined_jobs,
    }
    batch = keys.command_batch("<batch_id>")
    made |= {batch + ":devices", batch + ":refused"}
    made.add("P:{0}:staging:<token>:<key>")  # only scripts name it: stage.lua, restore.lua
    for name in vars(Keys):
        method = getattr(keys, name)
        if name.startswith("_") or name in ("partition", "tag", "are_named", "name_partitions"):
            continue
        wanted = method.__func__.__code__.co_varnames[1 : method.__func__.__code__.co_argcount]
        made.add(method(*(examples[one] for one in wanted)))
    table = {code(key) for key, *_ in rows(read("redis.md"), "key") if key.startswith("`P")}
    assert table == {key.replace("{0}", "{p}") for key in made}


def test_keys_named_in_scripts_stand_in_the_docs() -> None:
    table = {code(key) for key, *_ in rows(read("redis.md"), "key") if key.startswith("`P")}
    kinds = {re.sub(r"^P:\{p\}:(\w+).*$", r"\1", key) for key in table}
    for script, text in load_scripts().items():
        named = set(re.findall(r"tag \.\. '(\w+)", text)) | set(re.findall(r"key\('(\w+)'", text))
        assert named <= kinds, script


def test_scripts_in_the_docs_are_those_of_the_code() -> None:
    documented = {
        name
        for script, *_ in rows(read("redis.md"), "script")
        for name in re.findall(r"`(\w+)`", script)
    }
    assert documented == set(load_scripts())
    assert len(documented) + len(SHARED) == len([*LUA_DIR.rglob("*.lua")])  # no two of one name


def test_session_fields_in_the_docs_are_those_of_the_scripts() -> None:
    """The fields that scripts write to the session's hash are those named under Ownership."""
    text = re.search(r"Fields of `P:\{p\}:session:<id>`: `([^`]+)`", read("redis.md"))
    assert text
    documented = set(re.split(r",\s+", text[1]))
    written: set[str] = set()
    for source in load_scripts().values():
        for call in re.findall(
            r"'HSET', (?:session|key\('session', id\)), (.*?)\)(?: end)?\n", source, re.DOTALL
        ):
            written |= set(re.findall(r"'([a-z_]+)',", call))
        written |= set(re.findall(r"'HINCRBY', (?:session|key\('session', id\)), '(\w+)'", source))
    assert written - {"active", "inactive", "archived"} - documented == set()  # these are values
    everything = "".join(load_scripts().values())
    assert {field for field in documented if f"'{field}'" not in everything} == set()
