"""What `redis+sentinel://` URLs mean, and which are refused."""

from __future__ import annotations

import pytest

from service.config.loader import redact_url
from service.errors import ConfigError
from service.redis_access.clients import SentinelUrl, parse_sentinel


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        (
            "redis+sentinel://a:1,b/0/main",
            SentinelUrl([("a", 1), ("b", 26379)], "main", 0, {}, {}),
        ),
        (
            "redis+sentinel://[::1]:5,[fe80::2],10.0.0.1:7/3/main",
            SentinelUrl([("::1", 5), ("fe80::2", 26379), ("10.0.0.1", 7)], "main", 3, {}, {}),
        ),
        (
            "redis+sentinel://me:p%40ss@a/0/main",
            SentinelUrl([("a", 26379)], "main", 0, {"username": "me", "password": "p@ss"}, {}),
        ),
        (
            "redis+sentinel://:x@a/0/main?sentinel_username=they&sentinel_password=y%26z",
            SentinelUrl(
                [("a", 26379)],
                "main",
                0,
                {"password": "x"},
                {"username": "they", "password": "y&z"},
            ),
        ),
    ],
    ids=["ports", "addresses", "login", "two-logins"],
)
def test_sentinel_url_names_places_primary_and_logins(url: str, meaning: SentinelUrl) -> None:
    assert parse_sentinel(url) == meaning


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/main",
        "redis+sentinel://a:1/0",
        "redis+sentinel://a:1,/0/main",
        "redis+sentinel://a:x/0/main",
        "redis+sentinel:///0/main",
        "redis+sentinel://a/0/main?password=x",
        "redis+sentinel://a/0/main?sentinel_port=1",
    ],
)
def test_sentinel_url_of_another_form_is_refused_with_the_path_of_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^redis\.url: "):
        parse_sentinel(url)


def test_both_passwords_are_hidden_where_a_url_is_shown() -> None:
    shown = redact_url("redis+sentinel://me:one@a/0/main?sentinel_password=two")
    assert shown == "redis+sentinel://me:***@a/0/main?sentinel_password=***"
