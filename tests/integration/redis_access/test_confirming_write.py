"""What is written before WAIT, so that it looks at everything up to now (`redis.wait_replicas`)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from service import errors
from service.sessions.store.replication import Call, Replication
from tests.conftest import RealServer

KEY = "p:{0}:confirmed"


@pytest.fixture
def client(own_server: RealServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_server.url, decode_responses=True) as made:
        yield made


def test_answer_is_followed_by_a_write_also_without_memory(client: redis.Redis) -> None:
    """Of a script that writes nothing, as a repeated flush; WAIT asks for none here."""
    replication = Replication(client, 0)
    script = client.register_script("return ARGV[1]")
    for maxmemory in (0, 1):
        client.config_set("maxmemory", maxmemory)
        client.delete(KEY)
        assert replication.run(script, KEY, [Call(["p:{0}:"], ["answer"])]) == ["answer"]
        assert 0 < client.ttl(KEY) <= 3600
    with replication.around(KEY):
        client.delete(KEY)
    assert client.exists(KEY)
    assert "cmdstat_publish" not in client.info("commandstats")


def test_answers_of_several_runs_come_in_order_with_their_errors(client: redis.Redis) -> None:
    """Also where Redis has forgotten the script, as after a restart."""
    replication = Replication(client, 0)
    script = client.register_script(
        "if ARGV[1] == 'b' then return redis.error_reply('b!') end return ARGV[1]"
    )
    first, second, third = replication.run(
        script, KEY, [Call(["p:{0}:"], [word]) for word in "abc"]
    )
    assert (first, str(second), third) == ("a", "b!", "c")


def test_answers_without_enough_replicas_are_withheld(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.sessions.store.replication.WAIT_MS", 100)
    replication = Replication(client, 1)
    script = client.register_script("return 1")
    with pytest.raises(errors.StoreUnavailable):
        replication.run(script, KEY, [Call(["p:{0}:"], [])])
    assert replication.withheld == 1
