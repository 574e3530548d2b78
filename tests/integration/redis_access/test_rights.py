"""A service as a user of an ACL: with the rights that docs/operations.md lists, and with fewer; real servers."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from service import errors
from service.cli.doctor.command import examine
from service.cli.doctor.findings import Finding
from service.config.loader import load_config
from service.connect import make_store
from service.manager.manager import SessionManager
from service.observability.alarms import AlarmBook
from service.redis_access.clients import redis_factory
from service.redis_access.job_queue import JobQueue
from service.sessions.store.store import RedisSessionStore
from tests.conftest import RealServer

DOCS = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
LINE = re.search(r"^ACL SETUSER (muster on >PASSWORD .*)$", DOCS, re.MULTILINE)
assert LINE is not None
LISTED = LINE[1].split()
#: What hosters leave of it.
FEWER = LISTED[: LISTED.index("+info")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    made = RealServer(tmp_path_factory.mktemp("rights"))
    made.start()
    yield made
    made.kill()


Become = Callable[..., str]


@pytest.fixture
def become(server: RealServer) -> Iterator[Become]:
    """`become(*rules)`: makes the user, in an empty Redis; its URL."""
    with redis.Redis.from_url(server.url, decode_responses=True) as owner:

        def make(*rules: str) -> str:
            owner.flushall()
            owner.execute_command("ACL", "SETUSER", *rules)
            owner.execute_command("ACL", "LOG", "RESET")
            return server.url.replace("//", "//muster:PASSWORD@")

        yield make
        owner.execute_command("ACL", "DELUSER", "muster")


def store_at(url: str) -> RedisSessionStore:
    return make_store(load_config(None, {"redis.url": url}), redis_factory(url)())


def findings(url: str) -> list[Finding]:
    return examine(url, load_config(None, {"redis.url": url}))


def rights(url: str) -> Finding:
    return next(one for one in findings(url) if one.check == "rights")


def test_user_of_the_docs_has_all_rights_that_the_doctor_knows(become: Become) -> None:
    """The very line of docs/operations.md, given to a real server."""
    assert rights(become(*LISTED)).verdict == "ok"


def test_without_info_everything_is_answered_and_said_once(
    become: Become, caplog: pytest.LogCaptureFixture
) -> None:
    """Alarms, figures and memory: what is not told is unknown, and no error."""
    url = become(*FEWER)
    store = store_at(url)
    store.open()
    jobs = JobQueue(redis_factory(url)(decode_responses=False), "muster")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert store.upkeep.redis_memory().percent is None
    assert [one.__dict__["action"] for one in caplog.records] == ["redis_is_silent"]
    server = store.fleet.server()
    assert (server["version"], server["used_memory_bytes"], server["max_memory_bytes"]) == (
        *("", None),
        None,
    )
    names = {alarm["name"] for alarm in AlarmBook(store, jobs).look()["active"]}
    assert names == {"no_workers"}


def test_doctor_of_a_user_without_info_warns_of_what_it_cannot_see(become: Become) -> None:
    """It takes nothing that it cannot see for bad."""
    found = findings(become(*FEWER))
    told = next(one for one in found if one.check == "rights")
    assert (told.verdict, "info" in told.seen, "docs/operations.md" in told.mend) == (
        *("warning", True),
        True,
    )
    assert not [one for one in found if one.verdict == "error"]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        (("-hset",), "hset muster:rights"),
        (("-pexpire",), "pexpire muster:rights"),  # of scripts alone,
        (("resetkeys", "~muster:*"), "hset rq:rights"),
        (("resetchannels",), "publish rq:rights x"),
    ],
)
def test_doctor_names_the_right_that_is_missing_and_changes_nothing(
    become: Become, server: RealServer, rules: tuple[str, ...], named: str
) -> None:
    url = become(*LISTED)
    SessionManager.connect(url, load_config(None, {"redis.url": url})).close()
    become_again = redis.Redis.from_url(server.url, decode_responses=True)
    become_again.execute_command("ACL", "SETUSER", "muster", *rules)
    before = sorted(become_again.keys())
    told = rights(url)
    assert told.verdict == "error"
    assert named in told.seen.replace("this user may not: ", "").split(", ")
    assert sorted(become_again.keys()) == before
    become_again.close()


def test_server_that_runs_no_scripts_is_told_at_the_start(become: Become) -> None:
    """In words, and at once: nothing else of Muster works."""
    store = store_at(become(*LISTED, "-eval", "-evalsha"))
    with pytest.raises(errors.ConfigError, match=r"redis\.url: .* runs no Lua scripts \(EVAL\)"):
        store.open()
