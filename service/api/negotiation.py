"""Negotiation: which of the formats and codings that we have a client accepts (RFC 9110, section 12.5).

Written here because Werkzeug's parser takes quadratic time, and compares parameters: `application/json;
charset=utf-8` is JSON to us. Weights (`q`) count, all other parameters are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_WEIGHT = re.compile(r"[Qq][ \t]*+=[ \t]*+(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def weights(header: str) -> dict[str, float]:
    """Return what a header accepts, in lower case and in order, each with its weight."""
    found: dict[str, float] = {}
    for one in header.split(","):
        name, *parameters = one.split(";")
        matches = (_WEIGHT.fullmatch(parameter.strip()) for parameter in parameters)
        weight = next((float(match[1]) for match in matches if match), 1.0)
        found.setdefault(name.strip().lower(), weight)
    return found


def best_type(header: str, types: Mapping[str, str] | Sequence[str]) -> str | None:
    """Return the media type that is accepted with the largest weight; None: none is.

    Among equals it is the one that is named, then the one that is named first, then the first of ours.

    Args:
        header: the value of `Accept`.
        types: ours, the preferred one first.
    """
    accepted = weights(header)
    order = {name: -place for place, name in enumerate(accepted)}
    best, best_rank = None, (0.0, 0, 0)
    for kind in types:
        general = kind.partition("/")[0] + "/*"
        for precision, name in ((2, kind), (1, general), (0, "*/*")):
            if name in accepted:
                rank = (accepted[name], precision, order[name])
                if rank[0] and (best is None or rank > best_rank):
                    best, best_rank = kind, rank
                break
    return best


def takes_gzip(header: str) -> bool:
    """Return whether an `Accept-Encoding` asks for gzip."""
    accepted = weights(header)
    return accepted.get("gzip", accepted.get("x-gzip", accepted.get("*", 0.0))) > 0
