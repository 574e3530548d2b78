"""The authority of a URL, `host[:port]`, as Host headers and origins have it (RFC 3986, section 3.2).

Without user information and percent-encoding, which no client sends there: whatever two programs might read as
different hosts is no authority.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: What non-browsers send for the same place.
_SAME_SCHEMES: Final = {"ws": "http", "wss": "https"}
_AUTHORITY: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9A-Za-z._~-]{1,255}))(?::([0-9]{0,5}))?"
)


class Authority(NamedTuple):
    """A host in lower case, an IPv6 address in its shortest form, and the port if there is one."""

    host: str
    port: int | None = None


class Origin(NamedTuple):
    """The origin of a page: `http`, `https`, or the scheme of something that is not on the web."""

    scheme: str
    host: str = ""
    port: int | None = None


def parse_authority(text: str) -> Authority | None:
    """Parse `name`, `name:port`, `[address]` or `[address]:port`; None for anything else."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    address, name, digits = found.groups()
    port = int(digits) if digits else None
    if port is not None and not 0 < port < 65536:
        return None
    if address is None:
        return Authority(name.lower(), port)
    try:
        return Authority(ipaddress.IPv6Address(address).compressed, port)
    except ValueError:
        return None


def parse_host(text: str) -> Authority | None:
    """Parse what people write: also an IPv6 address without brackets."""
    try:
        return Authority(ipaddress.ip_address(text).compressed)
    except ValueError:
        return parse_authority(text)


def parse_origin(text: str) -> Origin | None:
    """Parse an Origin header; None for `null` and what is no origin.

    Default ports are filled in, and `ws` is `http`: some clients write the URL of the websocket there.
    """
    scheme, separator, rest = text.strip().lower().partition("://")
    rest = rest.removesuffix("/")
    if not separator or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        return None
    scheme = _SAME_SCHEMES.get(scheme, scheme)
    if scheme not in DEFAULT_PORTS:
        return Origin(scheme, rest)
    place = parse_authority(rest)
    if place is None:
        return None
    return Origin(scheme, place.host, place.port or DEFAULT_PORTS[scheme])


def parse_public_url(text: str) -> str | None:
    """Return the URL of a node as pages use it, `http[s]://host[:port]`; None for anything else.

    It ends up in headers: nothing passes that is not an authority, and no path, user or query.
    """
    origin = parse_origin(text)
    if origin is None or origin.scheme not in DEFAULT_PORTS or text != text.strip():
        return None
    if not text.lower().startswith(f"{origin.scheme}://"):  # not that of a websocket
        return None
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = "" if origin.port == DEFAULT_PORTS[origin.scheme] else f":{origin.port}"
    return f"{origin.scheme}://{host}{port}"
