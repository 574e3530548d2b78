"""Settings: layers, sources, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.config import loader as configuration
from service.config.loader import Config, load, load_config, redact_url, redacted, to_environment
from service.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


def put(file: Path, content: Any) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def test_shipped_file_holds_every_setting_with_its_default() -> None:
    """config.json is complete and says what the code does without it."""
    shipped = json.loads(configuration.shipped_path().read_text())
    assert shipped == Config().model_dump(mode="json")


def test_load_layers_flag_over_environment_over_file_over_default(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer overrides the one below, and the source of each value is known."""
    put(file, {"node": {"port": 1001, "drain_s": 1, "host": "127.0.0.2"}, "feed": {"keep_s": 3}})
    monkeypatch.setenv("MUSTER_NODE__PORT", "1002")
    monkeypatch.setenv("MUSTER_NODE__DRAIN_S", "2.5")
    monkeypatch.setenv("MUSTER_NODE__HOST", "")  # empty is unset
    loaded = load(file, {"node.port": 1003, "node.drain_s": None})
    assert loaded.config.node.port == 1003
    assert loaded.config.node.drain_s == 2.5
    assert loaded.config.node.host == "127.0.0.2"
    assert loaded.config.feed.keep_s == 3
    assert loaded.sources["node.port"] == "flag"
    assert loaded.sources["node.drain_s"] == "MUSTER_NODE__DRAIN_S"
    assert loaded.sources["node.host"] == str(file)
    assert loaded.sources["node.async_mode"] == "default"
    assert len(loaded.sources) == sum(len(group) for group in redacted(loaded.config).values())


def test_load_object_in_environment_replaces_the_files(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects are JSON in the environment, and whole."""
    put(file, {"sessions": {"history": {"default": 7, "keys": {"speed": 1000}}}})
    monkeypatch.setenv("MUSTER_SESSIONS__HISTORY", '{"default": 5, "keys": {"rpm": 9}}')
    history = load_config(file).sessions.history
    assert (history.default, history.keys) == (5, {"rpm": 9})


def test_load_file_named_in_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUSTER_CONFIG names the file when no flag does."""
    put(file, {"node": {"port": 1234}})
    monkeypatch.setenv("MUSTER_CONFIG", str(file))
    assert load_config().node.port == 1234


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ({"nodes": {}}, "nodes: unknown group"),
        ({"node": {"prot": 1}}, "node.prot: unknown setting"),
        ({"node": 5}, "node: should be an object"),
        ([1], "should be an object"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"node": {"port": 1, "port": 2}}', "'port' stands there twice"),
        ({"node": {"port": "5000"}}, "node.port: "),
        ({"node": {"port": True}}, "node.port: "),
        ({"node": {"port": 5000.5}}, "node.port: "),
        ({"node": {"port": 0}}, "node.port: "),
        ({"node": {"port": None}}, "node.port: "),
        ({"node": {"drain_s": -1}}, "node.drain_s: "),
        ('{"node": {"drain_s": Infinity}}', "node.drain_s: "),
        ('{"node": {"drain_s": NaN}}', "node.drain_s: "),
        ({"node": {"async_mode": "asyncio"}}, "node.async_mode: "),
        ({"node": {"allowed_hosts": "x"}}, "node.allowed_hosts: "),
        ({"node": {"allowed_hosts": [1]}}, "node.allowed_hosts.0: "),
        ({"node": {"allowed_hosts": ["https://a.example"]}}, "node.allowed_hosts: "),
        ({"auth": {"allowed_origins": ["a.example"]}}, "auth.allowed_origins: "),
        ({"auth": {"allowed_origins": ["https://a.example/b"]}}, "auth.allowed_origins: "),
        ({"sessions": {"history": {"default": 0}}}, "sessions.history.default: "),
        ({"sessions": {"history": {"defualt": 5}}}, "sessions.history.defualt: unknown"),
        ({"sessions": {"history": {"keys": {"a": "9"}}}}, "sessions.history.keys.a: "),
        ({"sessions": {"ttl_s": -1}}, "sessions.ttl_s: "),
        ({"sessions": {"lease_s": 3}}, "sessions.lease_s: 3 should be at least"),
        ({"sessions": {"renew_s": 3.5}}, "sessions.lease_s: 6 should be at least"),
        ({"redis": {"partitions": 0}}, "redis.partitions: "),
        ({"redis": {"url": "http://x"}}, "redis.url: should be 'embedded' or"),
        ({"redis": {"key_prefix": "a{b}"}}, "redis.key_prefix: "),
        ({"auth": {"mode": "closed"}}, "auth.mode: "),
        ({"auth": {"secret": "pw" * 20}}, "auth.secret: comes from the environment"),
        ({"limits": {"events_per_s": -1}}, "limits.events_per_s: "),
        ({"limits": {"connections_per_address": 1.5}}, "limits.connections_per_address: "),
        ({"node": {"trusted_proxies": ["haproxy"]}}, "node.trusted_proxies: 'haproxy' is no"),
        ({"node": {"metrics": "all"}}, "node.metrics: "),
        ({"redis": {"url": "redis://:pw@h"}}, "redis.url: a URL with a password comes from"),
        ({"redis": {"url": "redis://h?password=pw"}}, "redis.url: a URL with a password"),
        ({"redis": {"queue_url": "redis://:pw@h"}}, "redis.queue_url: a URL with a password"),
    ],
)
def test_load_refused_names_the_path(file: Path, content: Any, path: str) -> None:
    """What is odd stops the start and is named; the message has no secret."""
    with pytest.raises(ConfigError) as caught:
        load(put(file, content))
    assert path in str(caught.value)
    assert str(file) in str(caught.value) or "should be at least" in str(caught.value)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("MUSTER_NODE__PORT", "abc", "node.port: 'abc' is not a JSON value"),
        ("MUSTER_NODE__PORT", "70000", "node.port: "),
        ("MUSTER_NODE__PROT", "1", "node.prot: unknown setting"),
        ("MUSTER_NOD__PORT", "1", "nod: unknown"),
        ("MUSTER_SESSIONS__HISTORY", "5", "sessions.history: "),
        ("MUSTER_NODE__ALLOWED_HOSTS", "a,b", "node.allowed_hosts: "),
    ],
)
def test_load_refused_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, path: str
) -> None:
    """The same for the environment, with the variable's name."""
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError) as caught:
        load()
    assert path in str(caught.value)
    assert name in str(caught.value)


def test_load_any_positive_value_is_possible(file: Path) -> None:
    """Only impossible relations stop a start: nothing else that is positive does."""
    put(
        file,
        {
            "sessions": {
                "lease_s": 0.2,
                "renew_s": 0.1,
                "ttl_s": 1,
                "archive_after_s": 0.5,
                "idle_after_s": 1e9,
            },
            "node": {"ping_interval_s": 0.5, "ping_timeout_s": 100, "max_frame_bytes": 1},
            "redis": {"partitions": 100_000},
        },
    )
    assert load_config(file).sessions.lease_s == 0.2


@pytest.mark.parametrize(
    ("group", "values", "path"),
    [
        ("sessions", {"ttl_s": 3600, "archive_after_s": 3600}, "sessions.ttl_s: "),
        ("memory", {"redis_high_percent": 70, "redis_low_percent": 70}, "memory.redis_low_percent"),
        ("archive", {"url": "s3://bucket"}, "archive.url: "),
        ("archive", {"url": "file://host/share"}, "archive.url: "),
        ("archive", {"retention": {"days": -1}}, "archive.retention.days: "),
        ("archive", {"compression_level": 20}, "archive.compression_level: "),
    ],
)
def test_load_impossible_archive_is_refused(
    file: Path, group: str, values: dict[str, Any], path: str
) -> None:
    """A session would run out before it is due; memory would never be low enough; no such place."""
    put(file, {group: values})
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert path in str(caught.value)


def test_load_without_ttls_any_time_to_the_archive_is_possible(file: Path) -> None:
    put(file, {"sessions": {"ttl_s": 0, "archive_after_s": 1e9}})
    assert load_config(file).sessions.archive_after_s == 1e9


def test_load_names_without_group_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container platform injects does not stop the start, but is shown."""
    monkeypatch.setenv("MUSTER_PORT", "tcp://10.0.0.1:5000")
    assert load().ignored == ("MUSTER_PORT",)


def test_load_missing_file_is_refused(tmp_path: Path) -> None:
    """A file somebody named has to be there."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.json")


def test_config_is_frozen() -> None:
    """Nobody changes a setting behind the others' backs."""
    config = Config()
    with pytest.raises(ValueError, match="frozen"):
        config.node.port = 1
    with pytest.raises(ValueError, match="frozen"):
        config.node = None


def test_to_environment_round_trip(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `muster up` hands its children is exactly what it has."""
    put(file, {"sessions": {"history": {"default": 7, "keys": {"a": 1}}, "ttl_s": 0}})
    config = load_config(file, {"node.allowed_hosts": ["a.example"], "redis.url": "redis://:p@h"})
    for name, text in to_environment(config).items():
        monkeypatch.setenv(name, text)
    assert load_config() == config


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pass@host:1/0", "redis://user:***@host:1/0"),
        ("rediss://:p@ss@host", "rediss://:***@host"),
        ("redis+sentinel://u:p@h1:1,h2:2/0/main", "redis+sentinel://u:***@h1:1,h2:2/0/main"),
        ("redis://h?password=p&db=1", "redis://h?password=***&db=1"),
        ("redis://host/0", "redis://host/0"),
        ("unix:///tmp/redis.sock", "unix:///tmp/redis.sock"),
        ("embedded", "embedded"),
        ("", ""),
    ],
)
def test_redact_url_hides_the_password_only(url: str, shown: str) -> None:
    """`config show` and messages never have a password."""
    assert redact_url(url) == shown


def test_redacted_has_no_secret() -> None:
    """The whole of `config show` neither."""
    config = load_config(
        None, {"redis.url": "redis://:hush@h", "redis.queue_url": "redis://:hush@h"}
    )
    assert "hush" not in json.dumps(redacted(config))


# -- the secret of tokens


def test_secret_comes_from_the_environment_and_is_shown_nowhere(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a-phrase-that-nobody-guesses-0123456789"
    monkeypatch.setenv("MUSTER_AUTH__SECRET", secret)
    monkeypatch.setenv("MUSTER_AUTH__MODE", "token")
    loaded = load(put(file, {}))
    assert loaded.config.auth.secret == secret
    assert secret not in json.dumps(redacted(loaded.config))
    assert secret not in repr(loaded)
    assert secret not in str(loaded.config)
    assert to_environment(loaded.config)["MUSTER_AUTH__SECRET"] == secret  # nodes need it
    assert secret not in json.dumps(configuration.client_environment("t"))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "short-secret",
        "x" * 31,
        "x" * 32,
        "ab" * 16,
        "change-me-" * 4,
        "change-me-change-me-change-me-ch",
        "0" * 40 + "1",
        "é" * 32,
    ],
)
def test_login_without_a_good_secret_is_refused_and_does_not_tell_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("MUSTER_AUTH__SECRET", secret)
    with pytest.raises(ConfigError) as caught:
        load(put(file, {"auth": {"mode": "token"}}))
    assert "auth.secret" in str(caught.value)
    assert not secret or secret not in str(caught.value)


def test_token_of_a_client_is_no_unknown_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSTER_TOKEN", "x")
    assert load(put(file, {})).ignored == ()
