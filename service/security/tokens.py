"""Tokens: JSON Web Tokens signed with HS256 and one secret, read strictly.

PyJWT checks the signature, with the one algorithm named here whatever the token says of itself. The
claims are checked here, by type and value, because libraries are generous (a text as `exp`, a fractional
number, an empty list) and because time is Redis time in this service.

| claim | of | meaning |
|---|---|---|
| `role` | all | device, viewer, operator, admin |
| `sub` | device | the one id it may register; of others a name, which timelines show |
| `prefix` | device | instead of `sub`: what its ids begin with |
| `projects` | all, optional | the projects whose sessions exist for the bearer |
| `exp`, `nbf`, `iat` | all, optional | seconds since 1970 |
| `iss`, `jti` | all, optional | nothing here |

Any other claim is refused: it may narrow the token in a way that only another version or service knows (`aud`,
`crit`, a misspelt `projects`), and read without it the token would have more rights than its maker gave it. For the
same reason a claim may come once only.

A token is refused from the second in which it expires; one that is not valid yet passes LEEWAY_S early,
because it may have been made a moment ago by a machine whose clock is ahead. There is no list of revoked
tokens: short lifetimes and a new secret replace it (docs/decisions/0008-tokens.md).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import jwt
from jwt.utils import base64url_decode

from service.acting import MAX_WHO_BYTES, cut
from service.errors import InvalidRequest, NotAuthenticated, ServiceError
from service.schema.limits import MAX_PROJECTS, MAX_TOKEN_CHARACTERS, MAX_TS_S
from service.schema.names import check_name
from service.schema.repeated import check_repeated
from service.schema.unknown import unknown_among
from service.security import permissions
from service.security.permissions import Identity

ALGORITHM = "HS256"
#: HS256 is as strong as its secret, which may not be shorter than the hash.
MIN_SECRET_BYTES = 32
#: Claims of everybody; a device's token may have `prefix` as well.
CLAIMS = ("role", "sub", "projects", "exp", "nbf", "iat", "iss", "jti")
#: How far the clock of a token's maker may be ahead.
LEEWAY_S = 5.0


class Tokens:
    """Reads and makes the tokens of one secret.

    Args:
        secret: at least MIN_SECRET_BYTES.
        now_s: the present time, seconds since 1970.
    """

    def __init__(self, secret: str, now_s: Callable[[], float]) -> None:
        self._key = secret.encode()
        if len(self._key) < MIN_SECRET_BYTES:
            raise ValueError(f"a secret has at least {MIN_SECRET_BYTES} bytes")
        self._now_s = now_s

    def __repr__(self) -> str:
        return "Tokens(…)"

    def read(self, token: object) -> Identity:
        """Verify a token; return its bearer.

        Raises:
            NotAuthenticated: with what is wrong; never with anything from the token but the name of a claim.
        """
        if not isinstance(token, str) or not token:
            raise NotAuthenticated("A token is a text.")
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise NotAuthenticated(f"A token has at most {MAX_TOKEN_CHARACTERS} characters.")
        claims, token_id = self._verified(token)
        try:
            check_repeated(base64url_decode(token.split(".")[1]).decode(), claims)
        except InvalidRequest as error:
            raise NotAuthenticated(f"The token has {error.message}.") from error
        now_s = self._now_s()
        expires_s = _time(claims, "exp")
        if expires_s is not None and expires_s <= now_s:
            raise NotAuthenticated("The token has expired.")
        for name in ("nbf", "iat"):
            begins_s = _time(claims, name)
            if begins_s is not None and begins_s > now_s + LEEWAY_S:
                raise NotAuthenticated("The token is not valid yet.")
        role = claims.get("role")
        if not isinstance(role, str) or role not in permissions.ROLES:
            raise NotAuthenticated(
                f"The token's `role` should be one of {', '.join(permissions.ROLES)}."
            )
        is_device = role == permissions.DEVICE
        wrong = unknown_among(claims, (*CLAIMS, "prefix") if is_device else CLAIMS, "claim")
        if wrong:
            raise NotAuthenticated(f"The token has an {wrong}.".replace("?.", "?"))
        device, prefix = _binding(claims) if is_device else ("", "")
        sub = claims.get("sub")
        name = cut(sub, MAX_WHO_BYTES) if isinstance(sub, str) else ""
        return Identity(role, device, prefix, _projects(claims), expires_s, token_id, name)

    def _verified(self, token: str) -> tuple[dict[str, Any], str]:
        """Verify the signature; return the claims and a word that identifies the token."""
        try:
            found = jwt.decode_complete(
                token,
                self._key,
                algorithms=[ALGORITHM],
                options={
                    "verify_signature": True,
                    "verify_exp": False,  # all claims are checked by `read`
                    "verify_nbf": False,
                    "verify_iat": False,
                    "verify_aud": False,
                    "verify_iss": False,
                    "verify_sub": False,
                    "verify_jti": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, LookupError, RecursionError):
            # `from None`: the library's message may quote the token
            raise NotAuthenticated("The token is not one of this service.") from None
        return found["payload"], hashlib.sha256(found["signature"]).hexdigest()[:16]

    def issue(
        self,
        role: str,
        *,
        device: str = "",
        prefix: str = "",
        projects: Sequence[str] | None = None,
        lifetime_s: float | None = None,
        name: str = "",
    ) -> str:
        """Make a token that `read` accepts.

        Args:
            role: device, viewer, operator or admin.
            device: of a device: its id.
            prefix: or the prefix of its ids.
            projects: the only ones it is for; None: all.
            lifetime_s: from now on; None: for ever.
            name: of anybody but a device: as timelines and lists of clients show it.

        Raises:
            ValueError: `read` would refuse it; says why.
        """
        now_s = self._now_s()
        claims: dict[str, Any] = {"role": role, "iat": math.floor(now_s)}
        if device or name:
            claims["sub"] = device or name
        if prefix:
            claims["prefix"] = prefix
        if projects is not None:
            claims["projects"] = list(projects)
        if lifetime_s is not None:
            claims["exp"] = math.floor(now_s + lifetime_s)
        if role != permissions.DEVICE and (device or prefix):
            raise ValueError("Only a token of the role `device` is bound to an id or a prefix.")
        if role == permissions.DEVICE and name:
            raise ValueError("The name of a device is its id.")
        if name:
            try:
                check_name("name", name)
            except ServiceError as error:
                raise ValueError(error.message) from error
        token = jwt.encode(claims, self._key, algorithm=ALGORITHM)
        try:
            self.read(token)
        except NotAuthenticated as error:
            raise ValueError(error.message) from error
        return token


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise NotAuthenticated(f"The token's `{name}` should be a number.")
    if not -MAX_TS_S <= value <= MAX_TS_S:  # also false for what is not a number
        raise NotAuthenticated(f"The token's `{name}` is no time in seconds.")
    return float(value)


def _binding(claims: dict[str, Any]) -> tuple[str, str]:
    """Return a device's id, or its prefix."""
    if ("sub" in claims) == ("prefix" in claims):
        raise NotAuthenticated("A device's token has one of `sub`, its id, and `prefix`.")
    if "sub" in claims:
        return _name(claims["sub"], "sub"), ""
    prefix = _name(claims["prefix"], "prefix")
    if not prefix.endswith(permissions.PREFIX_ENDS):
        ends = " ".join(permissions.PREFIX_ENDS)
        raise NotAuthenticated(f"The token's `prefix` should end in one of {ends}")
    return "", prefix


def _projects(claims: dict[str, Any]) -> frozenset[str] | None:
    if "projects" not in claims:
        return None
    value = claims["projects"]
    if not isinstance(value, list) or len(value) > MAX_PROJECTS:
        raise NotAuthenticated(f"The token's `projects` should be a list of up to {MAX_PROJECTS}.")
    return frozenset(_name(one, "projects") for one in value)


def _name(value: Any, claim: str) -> str:
    try:
        return check_name(claim, value)
    except ServiceError as error:
        raise NotAuthenticated(f"The token's {error.message}") from error


def credentials(auth: Any, authorization: str) -> object:
    """Return the client's token: `auth: {token}` of Socket.IO, else a `Bearer` header; None: none."""
    if isinstance(auth, dict) and auth.get("token") is not None:
        return auth["token"]
    return bearer(authorization)


def bearer(authorization: str) -> str | None:
    """Return the token of an Authorization header; None where there is none."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
