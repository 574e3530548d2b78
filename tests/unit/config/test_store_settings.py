"""Every setting of the store reaches it, in its units; and 0 means what the docs say."""

from __future__ import annotations

from dataclasses import fields

from service.config.loader import load_config
from service.connect import store_settings
from service.sessions.store.runner import StoreSettings

#: Values that no other setting has, and no default.
GIVEN = {
    "sessions.lease_s": 7,
    "sessions.ttl_s": 90_001,
    "sessions.idle_after_s": 302,
    "sessions.history": {"default": 103, "keys": {"speed": 104}},
    "sessions.max_keys": 1_005,
    "sessions.max_bytes": 20_000_006,
    "commands.max_queued": 107,
    "feed.keep_s": 128,
    "feed.max_bytes": 70_000_009,
    "limits.flapping_registers": 11,
    "limits.flapping_window_s": 12,
}


def test_every_setting_of_the_store_reaches_it() -> None:
    given = store_settings(load_config(None, GIVEN))
    assert given == StoreSettings(
        lease_ms=7_000,
        ttl_ms=90_001_000,
        idle_after_ms=302_000,
        feed_keep_ms=128_000,
        feed_max_bytes=70_000_009,
        history_default=103,
        history_keys={"speed": 104},
        max_keys=1_005,
        max_bytes=20_000_006,
        max_queued=107,
        flapping_registers=11,
        flapping_window_ms=12_000,
    )
    same = {f.name for f in fields(StoreSettings)} - {"wait_replicas"}
    defaults = StoreSettings()
    assert {name for name in same if getattr(given, name) == getattr(defaults, name)} == set()


def test_nothing_set_is_what_the_store_has_by_itself() -> None:
    assert store_settings(load_config(None, {})) == StoreSettings()


def test_zero_stays_zero() -> None:
    """No TTLs, no limit of registers: not the default, and not forbidden."""
    zero = store_settings(load_config(None, {"sessions.ttl_s": 0, "limits.flapping_registers": 0}))
    assert (zero.ttl_ms, zero.flapping_registers) == (0, 0)
