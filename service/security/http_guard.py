"""Guard of HTTP requests: Host, Origin and forwarding headers, checked before anything else.

A service without a login is protected by the address it listens on, and a browser undoes that: any page the
user opens may send requests to loopback, and a name that its owner points at 127.0.0.1 makes them
same-origin. So the Host header must be a name this node is known by, and an Origin must be that same host or
be listed. A forwarding header means that a proxy stands in front, and every client of the proxy can reach
us: without a login it is refused. With one it is believed from the proxies that are listed, so that limits
and logs know the client's address; from all others it is dropped.

What is not on the web (`file://`, `app://`) may come with a login, because a token is not sent by itself;
without one it has to be listed, because a page on a disk sends the same.

This is WSGI middleware around everything, Engine.IO and its websockets included. Probes always pass, because
balancers send whatever Host they like; a probe that would have been refused gets no more than any client may
see (`UNCHECKED`).
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from service.protocol.authority import (
    DEFAULT_PORTS,
    Authority,
    Origin,
    parse_authority,
    parse_host,
    parse_origin,
)

log = logging.getLogger(__name__)

ANY = "*"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
FORWARDING_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)
PROBES = frozenset({"/healthz", "/readyz"})
#: Always answered where there is a login: only `node.metrics` decides who reads them.
METRICS = "/metrics"
#: The key of a request's environ that says: it passed although it would have been refused.
UNCHECKED = "muster.unchecked"
#: Why requests are refused, as figures have it.
REASONS = ("host", "origin", "forwarded")
#: Of a value that is logged.
MAX_SHOWN = 200

WsgiApp = Callable[..., Iterable[bytes]]


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Refusal(NamedTuple):
    """Why a request is refused."""

    reason: str  #: of `REASONS`
    words: str
    value: str  #: what the request says
    setting: str  #: which would allow it


class HttpGuard:
    """Lets requests through to `app`, or answers 403.

    Args:
        host: the address this node listens on.
        allowed_hosts: names it is known by in addition to that and loopback, with or without a port; `*`: any.
        allowed_origins: origins of browser pages in addition to its own; `*`: any.
        has_login: everything except probes requires a token.
        refuse_forwarded: refuse forwarding headers.
        trusted_proxies: addresses and networks whose X-Forwarded-For and -Proto are believed.
        refused: called with the reason of each refusal, of `REASONS`.
        of_nodes: origins of pages that nodes of this service serve, or served lately; asked each time.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        host: str,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        has_login: bool = False,
        refuse_forwarded: bool = True,
        trusted_proxies: Iterable[str] = (),
        refused: Callable[[str], object] = lambda reason: None,
        of_nodes: Callable[[], Collection[Origin]] = tuple,
    ) -> None:
        self._app = app
        names = {*allowed_hosts, *LOOPBACK_NAMES, host}
        self._any_host = ANY in names
        self._hosts = {parse_host(name) for name in names}
        origins = set(allowed_origins)
        self._any_origin = ANY in origins
        self._origins = {parse_origin(origin) or origin for origin in origins}
        self._has_login = has_login
        self._open_paths = PROBES | {METRICS} if has_login else PROBES
        self._refuse_forwarded = refuse_forwarded
        self._refused = refused
        self._of_nodes = of_nodes
        self._proxies = [ipaddress.ip_network(network) for network in trusted_proxies]

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        refusal = self.refusal(environ)
        if refusal is not None:
            if environ.get("PATH_INFO") not in self._open_paths:
                self._report(refusal, environ)
                return _forbid(refusal.words, environ.get("PATH_INFO", ""), start_response)
            environ[UNCHECKED] = True
        if self._is_proxy(environ.get("REMOTE_ADDR", "")):
            self._believe(environ)
        for header in FORWARDING_HEADERS:  # no handler behind this may believe them
            environ.pop(header, None)
        return self._app(environ, start_response)

    def refusal(self, environ: dict[str, Any]) -> Refusal | None:
        """Return why this request is refused; None when it may pass."""
        text = environ.get("HTTP_HOST", "")
        host = parse_authority(text)
        if not self._any_host and (host is None or not self._is_known(host)):
            words = "This Host is not served here: list it in node.allowed_hosts."
            return Refusal("host", words, text, "node.allowed_hosts")
        forwarding = next((name for name in FORWARDING_HEADERS if name in environ), None)
        if self._refuse_forwarded and forwarding is not None:
            words = "Without a login this node takes no requests through a proxy: set auth.mode to token."
            name = forwarding.removeprefix("HTTP_").replace("_", "-").title()
            return Refusal("forwarded", words, f"{name}: {environ[forwarding]}", "auth.mode")
        text = environ.get("HTTP_ORIGIN")
        if text is not None and not self._any_origin:
            origin = parse_origin(text)
            if not self._may_come_from(origin or text, host):
                return Refusal("origin", _origin_words(origin), text, "auth.allowed_origins")
        return None

    def _report(self, refusal: Refusal, environ: dict[str, Any]) -> None:
        """Count and log a refusal: the host may only have to be listed."""
        self._refused(refusal.reason)
        log.warning(
            "request refused",
            extra={
                "action": "request_refused",
                "address": environ.get("REMOTE_ADDR", ""),
                "reason": refusal.reason,
                "why": refusal.words,
                "value": refusal.value[:MAX_SHOWN],
                "setting": refusal.setting,
                "throttle": refusal.reason,
            },
        )

    def _is_proxy(self, address: str) -> bool:
        if not self._proxies:
            return False
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self._proxies)

    def _believe(self, environ: dict[str, Any]) -> None:
        """Replace the proxy's address and scheme by the client's.

        Each proxy appends the address it was asked by: from the right, the first that is no proxy of
        ours is the client; everything left of it may be forged.
        """
        for address in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            try:
                client = str(ipaddress.ip_address(address.strip()))
            except ValueError:
                break
            environ["REMOTE_ADDR"] = client
            if not self._is_proxy(client):
                break
        scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").strip().lower()
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme

    def _is_known(self, host: Authority) -> bool:
        name, port = host
        if Authority(name) in self._hosts or host in self._hosts:
            return True
        # without a port it is the one of the scheme, which a proxy may have changed
        return port is None and any(
            Authority(name, default) in self._hosts for default in DEFAULT_PORTS.values()
        )

    def _may_come_from(self, origin: Origin | str, host: Authority | None) -> bool:
        """Return whether a page of this origin may send requests to this node, which it knows as `host`."""
        if origin in self._origins or origin in self._of_nodes():
            return True
        if isinstance(origin, str):
            return False
        default = DEFAULT_PORTS.get(origin.scheme)
        if default is None:
            return self._has_login
        return host is not None and (origin.host, origin.port) == (host.host, host.port or default)


def _origin_words(origin: Origin | None) -> str:
    words = "This Origin is not allowed: list it in auth.allowed_origins"
    if origin is None or origin.scheme in DEFAULT_PORTS:
        return f"{words}."
    return f"{words} (a page on a disk may send it too), or set auth.mode to token."


def _forbid(message: str, path: str, start_response: Callable[..., Any]) -> list[bytes]:
    body = {
        "type": "urn:muster:problem:not_allowed",
        "title": "Forbidden",
        "status": 403,
        "detail": message,
        "instance": quote(path.encode("latin-1")),
        "code": "not_allowed",
        "message": message,
        "retryable": False,
    }
    encoded = json.dumps(body).encode()
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(encoded))),
        ("Cache-Control", "no-store"),
    ]
    start_response("403 Forbidden", headers)
    return [encoded]
