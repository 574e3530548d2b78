"""What other programs get of the settings: processes of the service all of them, and queues a name of their own."""

from __future__ import annotations

import pytest

from service.config.loader import child_environment, load_config, queue_name


def test_child_has_the_settings_of_its_parent_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUSTER_SESSIONS__LEASE_S", "50")
    monkeypatch.setenv("MUSTER_CONFIG", "/nowhere.json")
    monkeypatch.setenv("OTHERS", "stay")
    monkeypatch.delenv("MUSTER_CONFIG")
    config = load_config(flags={"sessions.lease_s": 40})
    monkeypatch.setenv("MUSTER_CONFIG", "/nowhere.json")
    child = child_environment(config)
    assert child["MUSTER_SESSIONS__LEASE_S"] == "40.0"
    assert "MUSTER_CONFIG" not in child, "it names a file whose settings are not the parent's"
    assert child["OTHERS"] == "stay"


def test_every_prefix_has_a_queue_of_its_own() -> None:
    prefixes = ("a", "a:b", "a.b", "a-b", "a_b", "a/b", "ä")
    names = [queue_name(prefix) for prefix in prefixes]
    assert len({*names}) == len(prefixes)
    assert all(c.isalnum() or c in "_-" for name in names for c in name)
