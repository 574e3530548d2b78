"""Addresses of one service, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from muster_client.socket import websocket_url

_TLS = frozenset({"https", "wss"})


class Addresses:
    """Those that the program gave, and those of nodes that the service names.

    Attributes:
        urls: All of them, that of this connection first.

    Raises:
        ValueError: None was given, or one of them is no address.
    """

    def __init__(self, given: str | Sequence[str]) -> None:
        self.urls = [given] if isinstance(given, str) else list(given)
        if not self.urls:
            raise ValueError("give at least one address")
        for url in self.urls:
            websocket_url(url)
        self._given = frozenset(map(_bare, self.urls))

    @property
    def url(self) -> str:
        """Return the address of this connection, or of the next one."""
        return self.urls[0]

    def next(self) -> None:
        """Take the next address for the next connection."""
        self.urls.append(self.urls.pop(0))

    def learn(self, nodes: Any) -> None:
        """Take where else the service is; what was named before and is not now is not there any more."""
        if not isinstance(nodes, list):  # of a service of before
            return
        named = dict.fromkeys(_bare(url) for url in nodes if self._may_go_to(url))
        present, *others = self.urls
        kept = [url for url in others if _bare(url) in self._given or _bare(url) in named]
        known = frozenset(map(_bare, (present, *kept)))
        self.urls = [present, *kept, *(url for url in named if url not in known)]

    def _may_go_to(self, url: Any) -> bool:
        try:
            websocket_url(url)
        except (ValueError, TypeError, AttributeError):
            return False
        # the token goes there too
        return _scheme(url) in _TLS or _scheme(self.url) not in _TLS


def _scheme(url: str) -> str:
    return urlsplit(url).scheme


def _bare(url: str) -> str:
    return url.rstrip("/")
