"""REST: a setup as it was in one of its versions, such as the one that the device still runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.api.test_sessions import problem
from tests.support.clients.rest import Rest, rest


@pytest.fixture
def api(redis_url: str, key_prefix: str) -> Iterator[Rest]:
    with rest(redis_url, key_prefix) as made:
        yield made


def put(api: Rest, *setups: Any) -> str:
    """Make a session with these setups as versions 1, 2 …; return their path."""
    path = f"/sessions/{api.create()}/setup"
    for setup in setups:
        assert api.ask("PUT", path, {"setup": setup}).status_code == 200
    return path


def kept(api: Rest, path: str, most: int) -> dict[int, Any]:
    """Ask for each version up to `most`; return those that are kept."""
    found = {}
    for version in range(most + 1):
        answer = api.ask("GET", f"{path}/versions/{version}")
        if answer.status_code == 200:
            assert answer.json["setup_version"] == version
            found[version] = answer.json["setup"]
        else:
            problem(answer, 404, "version_not_found")
    return found


def test_versions_are_kept_with_the_steps_to_them(api: Rest) -> None:
    path = put(api, "a", "b", "c")
    assert kept(api, path, 4) == {0: None, 1: "a", 2: "b", 3: "c"}


def test_step_back_leaves_each_version_what_it_was(api: Rest) -> None:
    """Its document has two numbers then; a device may run it by the older one."""
    path = put(api, "a", "b")
    api.ask("POST", f"{path}/undo")
    assert kept(api, path, 4) == {0: None, 1: "a", 2: "b", 3: "a"}
    api.ask("POST", f"{path}/redo")
    assert kept(api, path, 5) == {0: None, 1: "a", 2: "b", 3: "a", 4: "b"}


def test_change_after_a_step_back_drops_what_was_undone(api: Rest) -> None:
    path = put(api, "a", "b")
    api.ask("POST", f"{path}/undo")
    api.ask("PUT", path, {"setup": "c"})
    assert kept(api, path, 5) == {0: None, 1: "a", 3: "a", 4: "c"}


def test_steps_that_are_dropped_take_their_versions_along(api: Rest) -> None:
    path = put(api, *range(103))
    found = kept(api, path, 103)
    assert found == {version: version - 1 for version in range(3, 104)}


def test_step_back_and_forth_for_ever_stays_bounded(api: Rest) -> None:
    path = put(api, "a", "b")
    for _ in range(20):
        api.ask("POST", f"{path}/undo")
        api.ask("POST", f"{path}/redo")
    found = kept(api, path, 42)
    assert found == {v: "ba"[v % 2] for v in range(33, 43)} | {0: None}
    [session_id] = path.split("/")[2:3]
    assert len(api.redis.hget(api.store.keys.session(session_id), "setup_versions")) < 100


@pytest.mark.parametrize("noted", [None, "", "1|0|", "x|y|z", "2|||", "2|0,1,1,1,1|7,7"])
def test_steps_of_a_service_that_noted_no_versions_are_not_guessed(
    api: Rest, noted: str | None
) -> None:
    """What follows is known all the same."""
    path = put(api, "a", "b")
    session = api.store.keys.session(path.split("/")[2])
    api.redis.hdel(session, "setup_versions")
    if noted is not None:
        api.redis.hset(session, "setup_versions", noted)
    found = kept(api, path, 3)
    assert found.pop(2) == "b"
    assert found.items() <= {0: None, 1: "a"}.items() or noted == "2|0,1,1,1,1|7,7"
    for setup in ("c", "d"):
        api.ask("PUT", path, {"setup": setup})
    found = kept(api, path, 5)
    assert {version: found[version] for version in (2, 3, 4)} == {2: "b", 3: "c", 4: "d"}


@pytest.mark.parametrize("version", ["x", "-1", "1.0", "%31x", "99999999999999999"])
def test_what_is_no_version_is_refused(api: Rest, version: str) -> None:
    problem(api.ask("GET", f"{put(api, 1)}/versions/{version}"), 400, "invalid_request")


def test_session_that_is_not_there_has_no_version(api: Rest) -> None:
    problem(api.ask("GET", "/sessions/nobody/setup/versions/1"), 404, "session_not_found")
