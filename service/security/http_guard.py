"""Guard of HTTP requests: Host, Origin and forwarding headers, checked before anything else.

A service without a login is protected by the address it listens on, and a browser undoes that: any page the
user opens may send requests to loopback, and a name that its owner points at 127.0.0.1 makes them
same-origin. So the Host header must be a name this node is known by, and an Origin must be that same host or
be listed. A forwarding header means that a proxy stands in front, and every client of the proxy can reach
us: without a login it is refused. With one it is believed from the proxies that are listed, so that limits
and logs know the client's address; from everybody else it is dropped.

This is WSGI middleware around everything, Engine.IO and its websockets included. `/healthz` always passes:
it says only that the process lives.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

ANY = "*"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
FORWARDING_HEADERS = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)
ALWAYS_OPEN = frozenset({"/healthz"})

WsgiApp = Callable[..., Iterable[bytes]]


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class HttpGuard:
    """Lets requests through to `app`, or answers 403.

    Args:
        host: the address this node listens on.
        allowed_hosts: names it is known by besides that and loopback, with or without a port; `*`: any.
        allowed_origins: origins of browser pages besides its own; `*`: any.
        refuse_forwarded: refuse forwarding headers.
        trusted_proxies: addresses and networks whose X-Forwarded-For and -Proto are believed.
    """

    def __init__(
        self,
        app: WsgiApp,
        *,
        host: str,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        refuse_forwarded: bool = True,
        trusted_proxies: Iterable[str] = (),
    ) -> None:
        self._app = app
        self._hosts = {name.lower().strip("[]") for name in allowed_hosts} | LOOPBACK_NAMES
        self._hosts.add(host.lower().strip("[]"))
        self._origins = {origin.lower().rstrip("/") for origin in allowed_origins}
        self._refuse_forwarded = refuse_forwarded
        self._proxies = [ipaddress.ip_network(network) for network in trusted_proxies]

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        refused = self.refusal(environ)
        if refused is not None:
            return _forbid(refused, environ.get("PATH_INFO", ""), start_response)
        if self._is_proxy(environ.get("REMOTE_ADDR", "")):
            self._believe(environ)
        for header in FORWARDING_HEADERS:  # nobody behind this may believe them
            environ.pop(header, None)
        return self._app(environ, start_response)

    def refusal(self, environ: dict[str, Any]) -> str | None:
        """Return why this request is refused; None when it may pass."""
        if environ.get("PATH_INFO") in ALWAYS_OPEN:
            return None
        host = environ.get("HTTP_HOST", "").lower()
        if not self._is_known(host):
            return "This Host is not served here: see node.allowed_hosts."
        if self._refuse_forwarded and any(header in environ for header in FORWARDING_HEADERS):
            return "Without a login this node takes no requests through a proxy."
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self.is_own_or_listed(origin, host):
            return "This Origin is not allowed: see auth.allowed_origins."
        return None

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

    def _is_known(self, host: str) -> bool:
        if ANY in self._hosts:
            return True
        try:
            name = urlsplit("//" + host).hostname
        except ValueError:
            return False
        return bool(name) and (name in self._hosts or host in self._hosts)

    def is_own_or_listed(self, origin: str, host: str) -> bool:
        """Return whether a page of this origin may send requests to this node, which it knows as `host`."""
        origin = origin.lower()
        if ANY in self._origins or origin in self._origins:
            return True
        scheme, _, place = origin.partition("://")
        return scheme in ("http", "https") and bool(place) and place == host


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
