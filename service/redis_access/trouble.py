"""Why Redis cannot be reached, in words for an operator who starts something; and whether waiting may help."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from redis.exceptions import AuthenticationError

from service.redis_access.replies import is_to_set_right, is_without_database, words_of

#: How long a name that is not known is waited for, s: a container's appears when it starts.
NAME_S = 5.0
_UNKNOWN_NAMES = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is in the way of Redis."""

    #: For anybody, without names of hosts and users.
    words: str
    #: What was raised, on one line.
    detail: str
    #: How long it makes sense to wait, s; None: it may be over at any time.
    patience_s: float | None = None

    def __str__(self) -> str:
        return f"{self.words} ({self.detail})" if self.detail else self.words


def trouble_of(error: BaseException) -> Trouble:
    """Return what an error of a call of Redis means; the causes of a ServiceError count."""
    chain = list(_chain(error))
    detail = " ".join(words_of(chain[-1] if len(chain) == 1 else _first_foreign(chain)).split())[
        :300
    ]
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in chain):
        return Trouble("its TLS certificate is not trusted: see ssl_ca_certs", detail, 0)
    if any(isinstance(one, ssl.SSLError) for one in chain):
        return Trouble("it does not speak TLS as we do", detail)
    if any(isinstance(one, AuthenticationError) for one in chain):
        return Trouble("it refuses the user or the password", detail, 0)
    if any(is_without_database(one) for one in chain):
        return Trouble("it has no database of this number", detail, 0)
    if any(is_to_set_right(one) for one in chain):
        return Trouble("it refuses what this service needs", detail, 0)
    if any(isinstance(one, socket.gaierror) and one.errno in _UNKNOWN_NAMES for one in chain):
        return Trouble("the name of its host is not known", detail, NAME_S)
    refused = any(isinstance(one, ConnectionRefusedError) for one in chain)
    return Trouble("nothing listens there" if refused else "it does not answer", detail)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _first_foreign(chain: list[BaseException]) -> BaseException:
    """Return the outermost that is not ours: redis-py names host and reason in it."""
    return chain[1] if len(chain) > 1 else chain[0]


def unknown_option(error: TypeError) -> str:
    """Return the option of a URL that no connection takes, as Python names it."""
    found = re.search(r"keyword argument '(\w+)'", str(error))
    return found[1] if found else str(error)
