"""The settings: names, types, bounds and defaults. `service.config.loader` loads and merges them."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from service.protocol.authority import parse_host, parse_origin, parse_public_url

#: The word that `redis.url` holds when `muster up` starts a server of its own.
EMBEDDED = "embedded"
#: A secret that is shorter than the hash of HS256 is weaker than it.
MIN_SECRET_BYTES = 32
#: A secret has at least this many different characters, and repeats itself only after so many.
MIN_SECRET_CHARACTERS, MIN_SECRET_PERIOD = 8, 16
#: In a list of hosts or origins: all.
ANY = "*"
_SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://")

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Words = Annotated[tuple[str, ...], Field(strict=False)]


class Group(BaseModel):
    """Settings that belong together: frozen, strictly typed, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class RedisSettings(Group):
    """Where state lives."""

    #: `embedded` (for `muster up` alone) or a URL; a password in it comes from the environment.
    url: str = EMBEDDED
    #: The Redis of RQ's queue; empty: the same as `url`.
    queue_url: str = ""
    #: What every key begins with.
    key_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "muster"
    #: Groups of sessions, fixed at the first start: 1 on one server, 64 or more for a cluster.
    partitions: Count = 1
    #: Connections a process opens at most; a caller that needs one more waits for it.
    max_connections: Count = 50
    #: Replicas that must have what is acked, before the ack; 0: none.
    wait_replicas: Annotated[int, Field(ge=0)] = 0

    @field_validator("url", "queue_url")
    @classmethod
    def _is_known(cls, url: str) -> str:
        if url in ("", EMBEDDED) or url.startswith(_SCHEMES):
            return url
        raise ValueError(f"should be {EMBEDDED!r} or begin with one of {', '.join(_SCHEMES)}")


class NodeSettings(Group):
    """One Flask-SocketIO process."""

    #: Address it listens on. Other than loopback needs a login (`auth.mode`) or `--insecure`.
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 5000
    async_mode: Literal["eventlet", "gevent"] = "eventlet"
    #: How often a socket is pinged, and how long its pong may take.
    ping_interval_s: Seconds = 10
    ping_timeout_s: Seconds = 5
    #: How long samples are collected before they go to Redis in one call.
    flush_interval_ms: Count = 7
    #: How long changes are collected before they go to dashboards in one frame.
    fanout_interval_ms: Count = 6
    #: Updates, and changes for dashboards, a second up to which a node waits for neither interval; 0: it always does.
    prompt_per_s: Rate = 400
    #: Upper bound of an orderly stop.
    drain_s: Seconds = 5
    #: How much of it, at most 60 %, a node that is stopping still accepts connections, so that load
    #: balancers see that it is not ready before it refuses any.
    drain_notice_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3
    #: Without Redis for this long a node sends its clients to other nodes.
    detach_after_s: Seconds = 60
    #: Backlog of one socket above which it is closed as `slow_client`.
    max_pending_bytes: Count = 4 * 1024 * 1024
    #: Longest message a client may send.
    max_frame_bytes: Count = 1024 * 1024
    #: Let the event loop drive websockets, without a task for each; off: the library transport.
    fast_path: bool = True
    #: Read what devices send most in C: if the module was built (`auto`), in any case, or not.
    native: Literal["auto", True, False] = "auto"
    #: Host headers that are answered in addition to the names of loopback and `host`; `*`: any.
    allowed_hosts: Words = ()
    #: Addresses and networks of proxies whose X-Forwarded-For and -Proto are believed.
    trusted_proxies: Words = ()
    #: Where pages reach this very node, such as `https://node-1.example`; empty: only through a balancer.
    public_url: str = ""
    #: Who may read /metrics: callers with a token (viewer or more), all, none.
    metrics: Literal["token", "public", "off"] = "token"

    @field_validator("allowed_hosts")
    @classmethod
    def _are_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if host != ANY and parse_host(host) is None:
                raise ValueError(f"{host!r} is no host: a name or address, with or without a port")
        return hosts

    @field_validator("public_url")
    @classmethod
    def _is_public_url(cls, url: str) -> str:
        if url and parse_public_url(url) is None:
            raise ValueError(
                f"{url[:200]!r} is no URL of a node: http:// or https://, a host, and a port where it is not "
                "the usual one, such as https://node-1.example:5000"
            )
        return parse_public_url(url) or ""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is no address or network") from None
        return networks


class FeedSettings(Group):
    """How far back a dashboard can resume: whichever of the two is less."""

    keep_s: Seconds = 120
    #: Per partition.
    max_bytes: Count = 64 * 1024 * 1024


class HistorySettings(Group):
    """Samples kept per data key; `keys` has those that differ from `default`."""

    default: Count = 100
    keys: dict[str, Count] = Field(default_factory=dict)


class SessionSettings(Group):
    """What is kept about devices, and when they count as gone."""

    #: How long a node counts as alive without renewing its lease; at least 2 × `renew_s`.
    lease_s: Seconds = 6
    renew_s: Seconds = 2
    #: A session that never had a connection counts as active this long after an update.
    idle_after_s: Seconds = 300
    #: Life of a session's keys in Redis after the last change of its state; 0: for ever.
    ttl_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30 * 24 * 3600
    #: An inactive session goes to the archive after this long; less than `ttl_s`.
    archive_after_s: Seconds = 24 * 3600
    history: HistorySettings = HistorySettings()
    #: Data keys of one session.
    max_keys: Count = 1000
    #: What one session may hold: samples, setups, commands, meta. Four times as much must fit an archive file.
    max_bytes: Annotated[int, Field(ge=256 * 1024, le=64 * 1024 * 1024)] = 16 * 1024 * 1024
    #: Longest value of one sample, as JSON.
    max_value_bytes: Count = 64 * 1024


class CommandSettings(Group):
    """What operators send to devices."""

    #: Default of a command's `ttl_s`.
    ttl_s: Seconds = 300
    #: Open commands of one session; one more is refused as `overloaded`.
    max_queued: Count = 100


class RetentionSettings(Group):
    """How long archived sessions are kept, in days; 0: for ever.

    `names` (by session_name) wins over `projects` (by project_id), and that over `days`.
    """

    days: Days = 0
    names: dict[str, Days] = Field(default_factory=dict)
    projects: dict[str, Days] = Field(default_factory=dict)


class ArchiveSettings(Group):
    """Where quiet sessions go."""

    #: A folder, such as `file:///var/lib/muster/archive`; empty: none, sessions stay in Redis.
    url: str = ""
    retention: RetentionSettings = RetentionSettings()
    #: zstd's: 1 is quick, 19 is small.
    compression_level: Annotated[int, Field(ge=1, le=19)] = 1

    @field_validator("url")
    @classmethod
    def _is_a_folder(cls, url: str) -> str:
        if url and not url.startswith(("file:///", "file://localhost/")):
            raise ValueError("should be like file:///var/lib/muster/archive")
        return url


class MemorySettings(Group):
    """When sessions are archived early, the longest inactive first."""

    #: Memory of the machine, or of the container if it has less, that should be available: below it
    #: sessions are archived early, below half of it nodes refuse new connections. 0: not looked at.
    min_available_percent: Percent = 5
    #: Part of Redis's `maxmemory` above which sessions are archived early …
    redis_high_percent: Percent = 80
    #: … until it is below this.
    redis_low_percent: Percent = 70


class WorkerSettings(Group):
    """RQ workers."""

    #: How many `muster up` starts.
    count: Annotated[int, Field(ge=0)] = 1
    sweep_every_s: Seconds = 10
    #: Sessions a sweep takes per call.
    batch: Count = 500


class AuthSettings(Group):
    """Who may come in."""

    #: `open`: everybody is an admin, on loopback alone; `token`: a token is required.
    mode: Literal["open", "token"] = "open"
    #: What tokens are signed with, at least 32 bytes; from the environment alone.
    secret: Annotated[str, Field(repr=False)] = ""
    #: Origins of browser pages in addition to our own, such as `https://ops.example`; `*`: any.
    allowed_origins: Words = ()

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin not in (ANY, "null") and parse_origin(origin) is None:
                raise ValueError(f"{origin!r} is no origin, such as https://ops.example")
        return origins

    @field_validator("secret")
    @classmethod
    def _is_hard_to_guess(cls, secret: str) -> str:
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"should have at least {MIN_SECRET_BYTES} bytes")
        is_varied = len(set(secret)) >= MIN_SECRET_CHARACTERS
        repeats = any(secret[n:] == secret[:-n] for n in range(1, MIN_SECRET_PERIOD))
        if secret and (repeats or not is_varied):
            raise ValueError("is easy to guess: `openssl rand -hex 32` makes a better one")
        return secret


class LimitSettings(Group):
    """What one client may ask for. 0: no limit."""

    #: Of one socket, whatever it sends; what is more is refused as `rate_limited`, and far more not read.
    events_per_s: Rate = 1000
    bytes_per_s: Rate = 16 * 1024 * 1024
    #: Sockets of one address, and devices of one token within an hour, on one node.
    connections_per_address: Annotated[int, Field(ge=0)] = 0
    sessions_per_token: Annotated[int, Field(ge=0)] = 10_000
    #: HTTP connections, and as many sockets, that have not logged in (without a login: not registered), of
    #: one address other than loopback and `node.trusted_proxies`, and of all on one node. What they send
    #: is bounded with them.
    unauthenticated_per_address: Annotated[int, Field(ge=0)] = 5000
    unauthenticated_per_node: Annotated[int, Field(ge=0)] = 10_000
    #: More accepted registers of one id than this within the window are refused as `flapping`;
    #: 0: no limit.
    flapping_registers: Annotated[int, Field(ge=0)] = 10
    flapping_window_s: Seconds = 10


class LogSettings(Group):
    """Logging, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    #: `auto`: console on a terminal, else one JSON object a line.
    format: Literal["auto", "json", "console"] = "auto"
