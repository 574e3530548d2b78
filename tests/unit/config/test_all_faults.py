"""All faults of the settings are told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.config.loader import inspect, load
from service.errors import ConfigError


def test_faults_of_file_environment_and_relations_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    groups = {"nodes": {}, "feed": 5, "node": {"port": 0}, "auth": {"secret": "x" * 40}}
    file.write_text(json.dumps({**groups, "redis": {"url": "redis://:pw@h"}}))
    monkeypatch.setenv("MUSTER_NODE__DRAIN_S", "abc")
    monkeypatch.setenv("MUSTER_NOD__PORT", "1")
    monkeypatch.setenv("MUSTER_SESSIONS__LEASE_S", "1")
    with pytest.raises(ConfigError) as caught:
        load(file, {"memory.redis_low_percent": 90.0})
    named = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert named == [
        *("nodes", "feed", "auth.secret", "redis.url"),
        *("node.drain_s", "node.port", "nod"),
        *("sessions.lease_s", "memory.redis_low_percent"),
    ]
    assert "pw" not in str(caught.value)


def test_a_relation_of_a_setting_that_is_wrong_anyway_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever mends the one fault would find no other."""
    monkeypatch.setenv("MUSTER_SESSIONS__LEASE_S", "-1")
    monkeypatch.setenv("MUSTER_SESSIONS__RENEW_S", "50")
    loaded = inspect()
    assert len(loaded.faults) == 1
    assert loaded.wrong == {"sessions.lease_s"}
    assert loaded.config.sessions.renew_s == 50


def test_a_file_that_cannot_be_read_hides_no_fault_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_NODE__PORT", "70000")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.json")
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        f"{tmp_path / 'none.json'}:",
        "node.port:",
    ]
