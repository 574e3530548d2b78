"""The live map of the Python client, against a service that says what the test wants."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from muster_client import AsyncFleet, Change, Refused

from tests.support.nodes.said_service import UNKNOWN, Service, drive, until

NOBODY: dict[str, Any] = {"active": [], "inactive": [], "counts": {}, "ok": True}


def one(session_id: str, **more: Any) -> dict[str, Any]:
    return {"session_id": session_id, "state": "active", **more}


def snapshot(*session_ids: str, cursor: str | None = "c1", **more: Any) -> dict[str, Any]:
    active = [one(session_id) for session_id in session_ids]
    return {**NOBODY, "recovered": False, "cursor": cursor, "active": active, **more}


def changed(cursor: str, *summaries: Any, removed: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"changed": list(summaries), "removed": list(removed), "counts": {}, "cursor": cursor}


def test_wishes_are_asked_for_with_the_scope_and_what_is_not_wished_is_left_out() -> None:
    async def test(service: Service) -> None:
        asked: list[dict[str, Any]] = []
        service.on["register_vue"] = lambda request: asked.append(request) or snapshot()
        wishes: dict[str, Any] = {"samples": "latest", "interval_ms": 250, "prompt": True}
        async with AsyncFleet(service.url, **wishes) as fleet:
            await fleet.wait_live(10)
        async with AsyncFleet(service.url) as fleet:
            await fleet.wait_live(10)
        assert asked == [{"scope": "fleet", "batch": True, **more} for more in (wishes, {})]

    drive(test)


def test_map_is_the_snapshot_of_all_pages_and_every_change() -> None:
    async def test(service: Service) -> None:
        pages = {None: snapshot("a", cursor=None, next="p2"), "p2": snapshot("b")}
        service.on["register_vue"] = lambda request: pages[request.get("page")]
        async with AsyncFleet(service.url) as fleet:
            await fleet.wait_live(10)
            assert sorted(fleet.sessions) == ["a", "b"]
            news = changed("c2", one("c"), one("b", in_sync=True), removed=("a", "b"))
            await service.tell("sessions_update", news)
            await until(lambda: "c" in fleet.sessions)
            assert sorted(fleet.sessions) == ["b", "c"]  # removed first, then changed
            assert fleet.sessions["b"]["in_sync"]

    drive(test)


def test_lost_connection_is_resumed_at_the_latest_cursor() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        seen: list[Change] = []
        async with AsyncFleet(service.url) as fleet:
            fleet.subscribe(seen.append)
            await fleet.wait_live(10)
            batch = {"updates": [["a", 2, [["n", 1, 1.0]]]], "cursor": "c7"}
            await service.tell("session_data_updates", batch)
            await until(lambda: any(change.samples for change in seen))
            resumed = {**NOBODY, "recovered": True, "cursor": "c7"}
            service.on["register_vue"] = lambda _: resumed
            await service.sockets[-1].close()
            await until(lambda: len(service.sockets) == 2 and fleet.state == "live")
            assert list(fleet.sessions) == ["a"]
            assert service.events[-1][1]["cursor"] == "c7"
        kinds = [change.kind for change in seen]
        assert kinds.count("reset") == 1

    drive(test)


def test_what_was_left_out_before_a_new_connection_is_over_with_its_snapshot() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        async with AsyncFleet(service.url) as fleet:
            await fleet.wait_live(10)
            batch = {"updates": [["a", 2, [["n", 1, 1.0]]]], "cursor": "c7", "conflated": True}
            await service.tell("session_data_updates", batch)
            await until(lambda: fleet.state == "conflated")
            await service.sockets[-1].close()
            await until(lambda: len(service.sockets) == 2 and fleet.state == "live")

    drive(test)


def test_cursor_whose_answer_is_not_understood_is_given_up() -> None:
    """With it, the next answer would be no better."""

    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        async with AsyncFleet(service.url) as fleet:
            await fleet.wait_live(10)
            odd = lambda request: {"ok": True} if request.get("cursor") else snapshot("b")  # noqa: E731
            service.on["register_vue"] = odd
            await service.sockets[-1].close()
            await until(lambda: list(fleet.sessions) == ["b"])

    drive(test)


def test_resync_asks_for_a_new_snapshot_on_the_same_connection() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        async with AsyncFleet(service.url) as fleet:
            await fleet.wait_live(10)
            service.on["register_vue"] = lambda _: snapshot("b", cursor="c9")
            await service.tell("resync", {"reason": "feed_trimmed"})
            await until(lambda: list(fleet.sessions) == ["b"])
        assert len(service.sockets) == 1

    drive(test)


def test_what_is_not_understood_and_listeners_that_raise_cost_nothing() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        seen: list[str] = []

        def fail(change: Change) -> None:
            raise RuntimeError("mine")

        async with AsyncFleet(service.url) as fleet:
            fleet.subscribe(fail)
            end = fleet.subscribe(lambda change: seen.append(change.session_id))
            await fleet.wait_live(10)
            for event, payload in (("news", {}), ("sessions_update", {}), ("resync", 5)):
                await service.tell(event, payload)
            await service.tell("sessions_update", changed("c2", one("b")))
            await until(lambda: "b" in seen)
            end()
            await service.tell("sessions_update", changed("c3", one("c")))
            await until(lambda: "c" in fleet.sessions)
            assert "c" not in seen
        assert len(service.sockets) == 1

    drive(test)


def test_fleet_that_is_refused_for_good_raises_where_it_is_read() -> None:
    async def test(service: Service) -> None:
        service.refuse = lambda _: UNKNOWN
        async with AsyncFleet(service.url, token="old") as fleet:
            with pytest.raises(Refused):
                await fleet.wait_live(10)
            with pytest.raises(Refused):
                async for _ in fleet.changes():
                    raise AssertionError("nothing changes")
        assert service.tokens == ["old"]

    drive(test)


def test_leaving_ends_the_changes() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        seen: list[str] = []

        async def read(fleet: AsyncFleet) -> None:
            async for change in fleet.changes():
                seen.append(change.kind)

        async with AsyncFleet(service.url) as fleet:
            reading = asyncio.ensure_future(read(fleet))
            await fleet.wait_live(10)
            await until(lambda: "reset" in seen)
        await asyncio.wait_for(reading, 10)

    drive(test)


def test_leaving_ends_the_changes_also_of_a_fleet_that_is_offline() -> None:
    async def main() -> None:
        async with AsyncFleet("http://127.0.0.1:9") as fleet:
            reading = asyncio.ensure_future(anext(aiter(fleet.changes()), None))
            assert await reading == Change("state", state="offline")
            changes = aiter(fleet.changes())
            reading = asyncio.ensure_future(anext(changes, None))
            await asyncio.sleep(0)
        assert await asyncio.wait_for(reading, 10) is None

    asyncio.run(main())


def test_drained_node_is_left_for_the_time_that_it_says() -> None:
    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        async with AsyncFleet(service.url) as fleet:
            await fleet.wait_live(10)
            loop = asyncio.get_running_loop()
            asked = loop.time()
            await service.tell("draining", {"reconnect_after_s": 0.6})
            await until(lambda: len(service.sockets) == 2)
            assert loop.time() - asked >= 0.6

    drive(test)


def test_it_is_stale_from_when_the_service_says_so_until_it_says_otherwise() -> None:
    """Whatever comes meanwhile, and on another connection what its answer says."""

    async def test(service: Service) -> None:
        service.on["register_vue"] = lambda _: snapshot("a")
        batch = {"updates": [["a", 2, [["n", 1, 1.0]]]], "cursor": "c2"}
        seen: list[str] = []
        async with AsyncFleet(service.url) as fleet:
            fleet.subscribe(lambda change: seen.append(change.state or change.kind))
            await fleet.wait_live(10)
            await service.tell("feed_state", {"stale": True, "behind_s": 4})
            await service.tell("session_data_updates", {**batch, "conflated": True})
            await until(lambda: seen[-1] == "samples")
            assert fleet.state == "stale"
            assert fleet.stale_since is not None
            assert 4 <= time.time() - fleet.stale_since < 14
            await service.tell("feed_state", {"stale": False, "behind_s": 0.1})
            await until(lambda: fleet.state == "conflated")
            assert fleet.stale_since is None
            await service.tell("session_data_updates", batch)
            await until(lambda: fleet.state == "live")
            resumed = {**NOBODY, "recovered": True, "cursor": "c7", "stale": True}
            service.on["register_vue"] = lambda _: resumed
            await service.sockets[-1].close()
            await until(lambda: fleet.state == "stale")
        assert fleet.stale_since is None
        states = ["stale", "conflated", "live", "offline", "resyncing", "stale", "offline"]
        assert [one for one in seen if one not in ("reset", "samples")] == ["live", *states]

    drive(test)
