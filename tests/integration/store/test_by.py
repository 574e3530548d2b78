"""Every lifecycle event says by whom it was brought about."""

from __future__ import annotations

from typing import Any

import redis

from service.acting import SERVICE, Actor, acting_for
from service.sessions.model import NewCommand
from service.sessions.store.store import RedisSessionStore
from tests.support.nodes.stores import make_store

A, B = "host-aaaa", "host-bbbb"
ANNA, KIOSK = Actor("anna", "operator", "rest"), Actor("d1", "device", "socket")


def shown(one: Actor) -> dict[str, str]:
    return {"who": one.who, "role": one.role, "via": one.via}


def timeline(store: RedisSessionStore) -> list[dict[str, Any]]:
    return store.index.timeline("d1")


def test_each_event_has_who_ran_its_script(client: redis.Redis, key_prefix: str) -> None:
    store = make_store(client, key_prefix)
    with acting_for(KIOSK):
        made = store.ownership.register("d1", node_id=A, sid="aaaa.1")
    with acting_for(ANNA):
        store.setups.put("d1", b"1")
        store.setups.undo("d1")
        store.commands.add("d1", NewCommand("c1", "reboot", "null", ttl_ms=60_000))
    store.commands.take("d1", made.generation)
    with acting_for(KIOSK):
        store.commands.finish("d1", made.generation, "c1", ok=True)
    other = Actor("d1-b", "device", "socket")
    with acting_for(other):
        second = store.ownership.register("d1", node_id=B, sid="bbbb.1")
    store.ownership.disconnect(0, B, [("d1", "bbbb.1", second.generation)], "left", [other])

    assert [(one["event"], one["by"]) for one in timeline(store)] == [
        ("created", shown(KIOSK)),
        ("connected", shown(KIOSK)),
        ("setup_changed", shown(ANNA)),
        ("setup_changed", shown(ANNA)),
        ("command_queued", shown(ANNA)),
        ("command_sent", shown(SERVICE)),
        ("command_succeeded", shown(KIOSK)),
        ("superseded", shown(other)),
        ("connected", shown(other)),
        ("disconnected", shown(other)),
    ]


def test_sessions_of_one_call_have_each_their_own(client: redis.Redis, key_prefix: str) -> None:
    store = make_store(client, key_prefix)
    sockets, holders = [], []
    for name in ("d1", "d2"):
        made = store.ownership.register(name, node_id=A, sid=f"aaaa.{name}")
        sockets.append((name, f"aaaa.{name}", made.generation))
        holders.append(Actor(name, "device", "socket"))
    store.ownership.disconnect(0, A, sockets, "left", holders)
    assert [store.index.timeline(one)[-1]["by"]["who"] for one in ("d1", "d2")] == ["d1", "d2"]


def test_names_of_every_kind_leave_the_line_readable(client: redis.Redis, key_prefix: str) -> None:
    store = make_store(client, key_prefix)
    for name in ('"},{"', "\\", "\x00\n", "é日\u2028", "%s", ""):
        with acting_for(Actor(name, "admin", "cli")):
            store.setups.put("d1", b"1") if timeline(store) else store.ownership.create("d1")
        assert timeline(store)[-1]["by"] == {"who": name, "role": "admin", "via": "cli"}
