"""Loading of settings: one file, overridden by the environment, overridden by flags, strictly checked.

Layers are merged per setting (`group.key`), not deeper: an object given in the environment
replaces the whole object of the file. Every layer is checked strictly, so that a typing error
stops the start with the path of the setting instead of becoming a value that was not meant. Names
in the environment without `__` are ignored: container platforms set such names by themselves,
like `MUSTER_PORT=tcp://…`.

This is the only module that reads `os.environ` (through pydantic-settings).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.config import settings
from service.errors import ConfigError

PREFIX = "MUSTER_"
#: Names of ours in the environment that are no settings: the file's path, and a client's token.
_NO_SETTINGS = ("muster_config", "muster_token")


class Config(BaseSettings):
    """All settings, frozen. Made by `load_config`; `Config()` is the defaults alone."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=PREFIX, env_ignore_empty=True
    )

    redis: settings.RedisSettings = settings.RedisSettings()
    node: settings.NodeSettings = settings.NodeSettings()
    feed: settings.FeedSettings = settings.FeedSettings()
    sessions: settings.SessionSettings = settings.SessionSettings()
    commands: settings.CommandSettings = settings.CommandSettings()
    archive: settings.ArchiveSettings = settings.ArchiveSettings()
    memory: settings.MemorySettings = settings.MemorySettings()
    workers: settings.WorkerSettings = settings.WorkerSettings()
    auth: settings.AuthSettings = settings.AuthSettings()
    limits: settings.LimitSettings = settings.LimitSettings()
    log: settings.LogSettings = settings.LogSettings()

    @classmethod
    def settings_customise_sources(  # the layers are merged below, with the source of each value
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


@dataclass(frozen=True)
class Loaded:
    """A configuration and where it came from."""

    config: Config
    #: The file that was read.
    path: Path
    #: `group.key` → `default`, the file, the name in the environment or `flag`.
    sources: Mapping[str, str]
    #: Names in the environment that begin like ours and are not known.
    ignored: tuple[str, ...] = field(default=())
    #: A sentence for each fault, and the settings that have their defaults because of one.
    faults: tuple[str, ...] = ()
    wrong: frozenset[str] = frozenset()


def load_config(path: str | Path | None = None, flags: Mapping[str, Any] | None = None) -> Config:
    """Load the configuration for one process; see `load`."""
    return load(path, flags).config


def load(path: str | Path | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Load the configuration with the source of each value.

    Args:
        path: the file; None: the one `MUSTER_CONFIG` names, else the config.json of Muster itself.
            Settings that a file leaves out have their defaults.
        flags: `group.key` → value from the command line; None as value: not given.

    Raises:
        ConfigError: a line for each fault, with the setting and its source: unknown names, wrong types,
            impossible relations and unreadable files.
    """
    loaded = inspect(path, flags)
    if loaded.faults:
        raise ConfigError("\n".join(loaded.faults))
    return loaded


def inspect(path: str | Path | None = None, flags: Mapping[str, Any] | None = None) -> Loaded:
    """Load what can be loaded, with all that is wrong; arguments as `load` has them."""
    environment = EnvSettingsSource(Config).env_vars  # names in lower case, empty ones left out
    file = Path(path or environment.get("muster_config") or shipped_path())
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}
    faults: list[str] = []

    def put(setting: str, value: Any, source: str) -> None:
        group, _, key = setting.partition(".")
        values.setdefault(group, {})[key] = value
        sources[setting] = source

    for setting, value in _read_file(file, faults).items():
        put(setting, value, str(file))
    ignored = []
    for name, text in environment.items():
        if not name.startswith(PREFIX.lower()) or name in _NO_SETTINGS or text is None:
            continue
        group, separator, key = name.removeprefix(PREFIX.lower()).partition("__")
        if separator:
            setting = f"{group}.{key}"
            try:
                put(setting, _from_text(setting, text, name.upper()), name.upper())
            except ConfigError as exc:
                faults.append(str(exc))
        else:
            ignored.append(name.upper())
    for setting, value in (flags or {}).items():
        if value is not None:
            put(setting, value, "flag")

    config, wrong = _validate(values, sources, faults)
    faults += [text for about, text in _wrong_relations(config) if not wrong & about]
    for group, key in _settings():
        sources.setdefault(f"{group}.{key}", "default")
    return Loaded(config, file, sources, tuple(sorted(ignored)), tuple(faults), frozenset(wrong))


def require_redis(config: Config, who: str) -> None:
    """Refuse `embedded` for every program but `muster up`.

    Raises:
        ConfigError
    """
    if config.redis.url == settings.EMBEDDED:
        raise ConfigError(
            f"redis.url: `embedded` is for `muster up` alone, {who} needs the URL of a server: "
            f"set {PREFIX}REDIS__URL or give --redis redis://host:6379/0"
        )


def queue_name(key_prefix: str) -> str:
    """Return RQ's name of the queue, also the start of job ids: letters, digits, `_` and `-`."""
    return "".join(c if c.isalnum() or c in "_-" else f"-{ord(c):x}-" for c in key_prefix)


def shipped_path() -> Path:
    """Return the config.json with every default: next to this module, or in the repository."""
    packaged = Path(__file__).with_name("config.json")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "config.json"


def redact_url(url: str) -> str:
    """Return `url` without its password, in each place that redis-py would take one from."""
    scheme, separator, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    user, colon, _password = credentials.partition(":")
    place = re.sub(r"([?&](sentinel_)?password=)[^&]*", r"\1***", place)
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{place}"


def redacted(config: Config) -> dict[str, dict[str, Any]]:
    """Return all settings as JSON values, secrets replaced by `***`."""
    shown = config.model_dump(mode="json")
    for key in ("url", "queue_url"):
        shown["redis"][key] = redact_url(shown["redis"][key])
    if shown["auth"]["secret"]:
        shown["auth"]["secret"] = "***"  # noqa: S105  what is shown instead
    return shown


def to_environment(config: Config) -> dict[str, str]:
    """Return the environment in which another process loads exactly this configuration."""
    shown = config.model_dump(mode="json")
    return {
        f"{PREFIX}{group}__{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for group, keys in shown.items()
        for key, value in keys.items()
    }


def child_environment(config: Config) -> dict[str, str]:
    """Return this process's environment with all of `config` in it, for a process it starts."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    return kept | to_environment(config)


def client_environment(token: str) -> dict[str, str]:
    """Return this process's environment for a client it starts, with this token and without secrets."""
    secret = f"{PREFIX}AUTH__SECRET"
    kept = {name: text for name, text in os.environ.items() if name.upper() != secret}
    return {**kept, f"{PREFIX}TOKEN": token}


def _settings() -> list[tuple[str, str]]:
    return [
        (group, key)
        for group, info in Config.model_fields.items()
        for key in _group_model(info.annotation).model_fields
    ]


def _group_model(annotation: Any) -> type[BaseModel]:
    assert isinstance(annotation, type)
    assert issubclass(annotation, BaseModel)
    return annotation


def _read_file(file: Path, faults: list[str]) -> dict[str, Any]:
    """Return `group.key` → value; what is wrong with the file itself is added to the faults."""

    def refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        faults.extend(
            f"{file}: {name!r} stands there twice"
            for name in dict.fromkeys(names)
            if names.count(name) > 1
        )
        return dict(pairs)

    content: Any = {}
    try:
        content = json.loads(file.read_text("utf-8"), object_pairs_hook=refuse_twins)
    except OSError as exc:
        faults.append(f"{file}: cannot be read: {exc.strerror}")
    except (ValueError, RecursionError) as exc:
        faults.append(f"{file}: is not JSON: {exc}")
    if not isinstance(content, dict):
        faults.append(f"{file}: should be an object of groups")
        return {}
    flat: dict[str, Any] = {}
    for group, keys in content.items():
        if group not in Config.model_fields:
            faults.append(f"{group}: unknown group of settings (from {file})")
        elif not isinstance(keys, dict):
            faults.append(f"{group}: should be an object of settings (from {file})")
        else:
            for key, value in keys.items():
                fault = _is_for_environment(group, key, value, file)
                if fault:
                    faults.append(fault)
                flat[f"{group}.{key}"] = "" if fault else value
    return flat


def _is_for_environment(group: str, key: str, value: Any, file: Path) -> str:
    """Return what is wrong with a secret in a file; "" where there is none."""
    if key in ("url", "queue_url") and _has_password(value):
        return (
            f"{group}.{key}: a URL with a password comes from the environment "
            f"({PREFIX}{group.upper()}__{key.upper()}), not from {file}"
        )
    if (group, key) == ("auth", "secret") and value != "":
        return f"auth.secret: comes from the environment ({PREFIX}AUTH__SECRET), not from {file}"
    return ""


def _has_password(url: Any) -> bool:
    return isinstance(url, str) and redact_url(url) != url


def _from_text(setting: str, text: str, name: str) -> Any:
    """Parse the value of an environment variable: text and words as they are, all else as JSON."""
    group, _, key = setting.partition(".")
    info = Config.model_fields.get(group)
    known = info and _group_model(info.annotation).model_fields.get(key)
    if not known or known.annotation is str:
        return text
    if get_origin(known.annotation) is Literal and text not in ("true", "false"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{setting}: {text!r} is not a JSON value (from {name})") from exc


def _validate(
    values: dict[str, dict[str, Any]], sources: Mapping[str, str], faults: list[str]
) -> tuple[Config, set[str]]:
    """Return the settings, with defaults instead of wrong ones, and the names of these; add to the faults."""
    try:
        return Config(**values), set()  # type: ignore[arg-type]
    except ValidationError as exc:
        wrong = set()
        for error in exc.errors(include_url=False):
            path = ".".join(str(part) for part in error["loc"])
            source = next(
                (
                    sources[name]
                    for name in sources
                    if f"{path}.".startswith(f"{name}.") or name.startswith(f"{path}.")
                ),
                "flag",
            )
            if error["type"] == "extra_forbidden":
                message = "unknown setting"
            else:
                message = error["msg"].removeprefix("Value error, ")
            faults.append(f"{path}: {message} (from {source})")
            wrong.add(".".join(str(part) for part in error["loc"][:2]))
    right = {
        group: {key: value for key, value in keys.items() if f"{group}.{key}" not in wrong}
        for group, keys in values.items()
        if group not in wrong
    }
    return Config(**right), wrong  # type: ignore[arg-type]


def _wrong_relations(config: Config) -> Iterator[tuple[set[str], str]]:
    """Yield what is wrong between settings that are each possible: their names, and a sentence."""
    sessions, memory = config.sessions, config.memory
    if sessions.lease_s < 2 * sessions.renew_s:
        text = f"sessions.lease_s: {sessions.lease_s:g} should be at least 2 × sessions.renew_s, "
        yield {"sessions.lease_s", "sessions.renew_s"}, f"{text}which is {sessions.renew_s:g}"
    if 0 < sessions.ttl_s <= sessions.archive_after_s:
        text = (
            f"sessions.ttl_s: {sessions.ttl_s:g} should be longer than sessions.archive_after_s, "
        )
        about = {"sessions.ttl_s", "sessions.archive_after_s"}
        yield about, f"{text}which is {sessions.archive_after_s:g}, or 0"
    if config.auth.mode == "token" and not config.auth.secret:
        text = f"auth.secret: `auth.mode` token needs one, from the environment ({PREFIX}AUTH__SECRET), "
        yield {"auth.mode", "auth.secret"}, f"{text}such as `openssl rand -hex 32` makes"
    if memory.redis_low_percent >= memory.redis_high_percent:
        text = f"memory.redis_low_percent: {memory.redis_low_percent:g} should be less than "
        about = {"memory.redis_low_percent", "memory.redis_high_percent"}
        yield about, f"{text}memory.redis_high_percent, which is {memory.redis_high_percent:g}"
