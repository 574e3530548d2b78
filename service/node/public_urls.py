"""Public URLs of the living nodes: where pages may connect when their own node is lost.

Each node says its own with its beat (`node.public_url`) and reads those of the others. They stand in the answer to
`register_vue` and in the policies of pages, and pages of these origins are pages of this service. They stay so for a
day when their node is gone: just then they come to another one. Dashboards are notified of each change: one that knew a
single node, and none of those that came later, would be lost with it. What stands in Redis is checked as the setting
is, because it ends up in headers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from service.protocol.authority import Origin, parse_origin, parse_public_url
from service.security.http_guard import LOOPBACK_NAMES

#: More are not named: the answer and the headers would grow with them.
MAX_URLS = 100
#: So long, s, pages of a node that is gone are pages of this service, and of so many nodes.
KEPT_S, MAX_KEPT = 86_400.0, 1_000


class PublicUrls:
    """Those of the living nodes, as they were looked up last.

    Args:
        own: of this node; "": it has none, as behind a balancer.
    """

    def __init__(self, own: str = "", monotonic: Callable[[], float] = time.monotonic) -> None:
        self._own = parse_public_url(own) or ""
        self._monotonic = monotonic
        self._seen: dict[str, float] = {}  # URL → when it was named last, the oldest first
        #: Sorted.
        self.urls: tuple[str, ...] = ()
        #: Of pages that these nodes serve, or served lately.
        self.origins: frozenset[Origin] = frozenset()
        self._tell: Callable[[tuple[str, ...]], object] = lambda _: None
        self.look([])

    def on_change(self, tell: Callable[[tuple[str, ...]], object]) -> None:
        """Call it with the URLs each time when they change."""
        self._tell = tell

    def look(self, nodes: Iterable[Mapping[str, str]]) -> None:
        """Take what the nodes' rows in Redis say; a node that is leaving is not named."""
        staying = [row.get("public_url", "") for row in nodes if row.get("draining") != "1"]
        found = {self._own, *(parse_public_url(url) for url in staying)} - {"", None}
        urls = tuple(sorted(url for url in found if url)[:MAX_URLS])
        self._keep(urls)
        if urls != self.urls:
            self.urls = urls
            self._tell(urls)

    def _keep(self, urls: Sequence[str]) -> None:
        now, before = self._monotonic(), self._seen
        gone = [(url, at) for url, at in before.items() if now - at < KEPT_S and url not in urls]
        self._seen = dict([*gone, *((url, now) for url in urls)][-MAX_KEPT:])
        if self._seen.keys() != before.keys():
            self.origins = frozenset(one for url in self._seen for one in _origins(url))

    @property
    def sources(self) -> str:
        """Return them for `connect-src` of a Content-Security-Policy, with their websockets.

        Without IPv6 addresses: the policy knows none, and browsers say so in the console of each page.
        """
        named = [url for url in self.urls if "[" not in url]
        return " ".join(f"{url} {url.replace('http', 'ws', 1)}" for url in named)


def own_host(url: str) -> list[str]:
    """Return the name by which a node is known that has this URL; empty: it has none."""
    return [url.partition("://")[2]] if url else []


def _origins(url: str) -> Iterable[Origin]:
    """Yield the origin of a URL; of one on loopback with each of its names, since people type any of them."""
    origin = parse_origin(url)
    if origin is None:
        return
    hosts = LOOPBACK_NAMES if origin.host in LOOPBACK_NAMES else (origin.host,)
    for host in hosts:
        yield origin._replace(host=host)
