"""Tokens: what is taken, what is refused, and that nothing of a token is ever told."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import NotAuthenticated
from service.security import permissions
from service.security.permissions import Identity
from service.security.tokens import LEEWAY_S, MAX_TOKEN_CHARACTERS, Tokens

SECRET = "a-secret-of-at-least-thirty-two-bytes" * 2
NOW_S = 1_800_000_000.0
TOKENS = Tokens(SECRET, lambda: NOW_S)


def made(claims: Any, key: str = SECRET, algorithm: str = "HS256", **headers: Any) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers or None)


def by_hand(header: Any, claims: Any, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def why_refused(token: object) -> str:
    with pytest.raises(NotAuthenticated) as caught:
        TOKENS.read(token)
    return caught.value.message


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_read_of_a_role_knows_the_role(role: str) -> None:
    identity = TOKENS.read(TOKENS.issue(role))
    assert (identity.role, identity.projects, identity.expires_s) == (role, None, None)


def test_read_of_a_device_knows_its_id_or_its_prefix() -> None:
    one = TOKENS.read(TOKENS.issue("device", device="kiosk-7"))
    assert [one.owns(id_) for id_ in ("kiosk-7", "kiosk-77", "kiosk-", "")] == [True, *[False] * 3]
    many = TOKENS.read(TOKENS.issue("device", prefix="kiosk-"))
    assert [many.owns(id_) for id_ in ("kiosk-7", "kiosk-", "kiosk", "a-kiosk-7", "Kiosk-7")] == [
        True,
        *[False] * 4,
    ]


def test_read_of_projects_and_end_knows_both() -> None:
    identity = TOKENS.read(TOKENS.issue("viewer", projects=["berlin", "oslo"], lifetime_s=60))
    assert identity.projects == {"berlin", "oslo"}
    assert identity.expires_s == NOW_S + 60


def test_token_id_is_of_the_token_not_of_its_spelling() -> None:
    """The last character of a signature in base64 has bits that mean nothing."""
    token = TOKENS.issue("viewer")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    assert twin != token
    try:
        assert TOKENS.read(twin).token_id == TOKENS.read(token).token_id
    except NotAuthenticated:
        pass  # newer versions of PyJWT take one spelling only


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(by_hand({"alg": "none"}, {"role": "admin"}), id="none"),
        pytest.param(by_hand({"alg": "None", "typ": "JWT"}, {"role": "admin"}), id="None"),
        pytest.param(by_hand({"alg": "HS256"}, {"role": "admin"}), id="no signature"),
        pytest.param(by_hand({}, {"role": "admin"}), id="no algorithm"),
        pytest.param(by_hand({"alg": ["HS256"]}, {"role": "admin"}), id="a list of algorithms"),
        pytest.param(by_hand([], {"role": "admin"}), id="a list as header"),
        pytest.param(made({"role": "admin"}, SECRET, "HS512"), id="another HMAC"),
        pytest.param(made({"role": "admin"}, "x" * 40), id="another key"),
        pytest.param(jwt.encode({"role": "admin"}, None, algorithm="none"), id="unsigned by jwt"),
        pytest.param(TOKENS.issue("admin")[:-4] + "AAAA", id="another signature"),
        pytest.param(TOKENS.issue("admin") + ".x", id="four parts"),
        pytest.param("a.b.c", id="no base64"),
        pytest.param("...", id="dots"),
        pytest.param("é.é.é", id="not ASCII"),
        pytest.param("x\ud800", id="not Unicode"),
        pytest.param("x\n\x00", id="control characters"),
        pytest.param(
            ".".join([base64.urlsafe_b64encode(b"[" * 5000).decode()] * 1 + ["e30", "e30"]),
            id="deep header",
        ),
    ],
)
def test_read_of_a_forged_token_says_only_that_it_is_not_ours(token: str) -> None:
    assert why_refused(token) == "The token is not one of this service."


def test_read_of_a_token_with_unknown_critical_header_is_refused() -> None:
    token = made({"role": "admin"}, crit=["b64"], b64=False)
    assert "role" not in why_refused(token)


@pytest.mark.parametrize("token", [None, 5, True, b"x", [], {}, ""])
def test_read_of_no_text_is_refused(token: object) -> None:
    assert why_refused(token) == "A token is a text."


def test_read_of_a_huge_token_is_refused_unread() -> None:
    assert "at most" in why_refused("x" * (MAX_TOKEN_CHARACTERS + 1))
    assert "at most" in why_refused(made({"role": "admin", "x": "y" * MAX_TOKEN_CHARACTERS}))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({}, "`role`"),
        ({"role": "root"}, "`role`"),
        ({"role": ["admin"]}, "`role`"),
        ({"role": {"admin": 1}}, "`role`"),
        ({"role": None}, "`role`"),
        ({"role": "ADMIN"}, "`role`"),
        ({"role": "admin", "exp": NOW_S}, "expired"),
        ({"role": "admin", "exp": NOW_S - 1}, "expired"),
        ({"role": "admin", "exp": -1}, "expired"),
        ({"role": "admin", "exp": "9999999999"}, "`exp`"),
        ({"role": "admin", "exp": None}, "`exp`"),
        ({"role": "admin", "exp": True}, "`exp`"),
        ({"role": "admin", "exp": [NOW_S + 9]}, "`exp`"),
        ({"role": "admin", "exp": float("nan")}, "`exp`"),
        ({"role": "admin", "exp": float("inf")}, "`exp`"),
        ({"role": "admin", "exp": (NOW_S + 60) * 1000}, "`exp`"),  # milliseconds
        ({"role": "admin", "nbf": NOW_S + LEEWAY_S + 1}, "not valid yet"),
        ({"role": "admin", "iat": NOW_S + LEEWAY_S + 1}, "not valid yet"),
        ({"role": "admin", "nbf": "now"}, "`nbf`"),
        ({"role": "device"}, "`sub`"),
        ({"role": "device", "sub": ""}, "sub"),
        ({"role": "device", "sub": 7}, "sub"),
        ({"role": "device", "sub": "a\nb"}, "sub"),
        ({"role": "device", "sub": "x" * 257}, "sub"),
        ({"role": "device", "sub": "a", "prefix": "b-"}, "`sub`"),
        ({"role": "device", "prefix": ""}, "prefix"),
        ({"role": "device", "prefix": "kiosk"}, "should end in one of"),
        ({"role": "device", "prefix": ["a-"]}, "prefix"),
        ({"role": "viewer", "projects": "berlin"}, "`projects`"),
        ({"role": "viewer", "projects": None}, "`projects`"),
        ({"role": "viewer", "projects": {"berlin": 1}}, "`projects`"),
        ({"role": "viewer", "projects": [1]}, "projects"),
        ({"role": "viewer", "projects": [""]}, "projects"),
        ({"role": "viewer", "projects": ["x"] * 101}, "`projects`"),
    ],
)
def test_read_of_wrong_claims_names_the_claim(claims: dict[str, Any], words: str) -> None:
    assert words in why_refused(made(claims))


def test_read_of_claims_that_are_no_object_is_refused() -> None:
    for claims in ([1], "admin", None, 5):
        token = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, algorithm="HS256")
        assert why_refused(token) == "The token is not one of this service."


def test_read_of_a_token_from_a_clock_that_is_a_little_ahead_is_fine() -> None:
    assert TOKENS.read(made({"role": "admin", "iat": NOW_S + LEEWAY_S, "nbf": NOW_S + LEEWAY_S}))


def test_claims_that_say_where_a_token_is_from_mean_nothing() -> None:
    assert TOKENS.read(made({"role": "viewer", "sub": 5, "iss": "y", "jti": []}))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"project": ["berlin"]}, "claim 'project'; did you mean 'projects'?"),
        ({"Projects": ["berlin"]}, "claim 'Projects'; did you mean 'projects'?"),
        ({"crit": ["sessions"], "sessions": ["kiosk-7"]}, "claim 'crit'"),
        ({"sessions": ["kiosk-7"]}, "claim 'sessions'"),
        ({"aud": "another-service"}, "claim 'aud'"),
        ({"prefix": "kiosk-"}, "claim 'prefix'"),
        ({"exp ": NOW_S + 9}, "claim 'exp '; did you mean 'exp'?"),
        ({"a\nb": 1}, "an unknown claim."),
        ({"x" * 300: 1}, "an unknown claim."),
    ],
)
def test_token_with_a_claim_that_may_narrow_it_is_refused(
    claims: dict[str, Any], words: str
) -> None:
    """Read without it, the token would be one for everything."""
    assert words in why_refused(made({"role": "admin", **claims}))


@pytest.mark.parametrize("again", ["projects", "p\\u0072ojects"])
def test_token_with_a_claim_twice_is_refused(again: str) -> None:
    """Its maker may have meant the first one, and readers take the last."""
    claims = f'{{"role":"admin","projects":["berlin"],"{again}":["paris"]}}'
    token = jwt.api_jws.encode(claims.encode(), SECRET, algorithm="HS256")
    assert "`projects`: given more than once" in why_refused(token)


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "root"},
        {"role": "device"},
        {"role": "device", "device": "a", "prefix": "b-"},
        {"role": "device", "prefix": "abc"},
        {"role": "viewer", "device": "a"},
        {"role": "viewer", "projects": [""]},
        {"role": "viewer", "lifetime_s": 0},
        {"role": "viewer", "lifetime_s": -5},
    ],
)
def test_issue_of_what_read_refuses_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        TOKENS.issue(**wrong)


def test_secret_that_is_short_is_refused_and_none_is_shown() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Tokens("x" * 31, lambda: NOW_S)
    assert SECRET not in repr(TOKENS)


@given(st.text(max_size=200) | st.binary(max_size=200) | st.integers() | st.none())
def test_read_of_anything_raises_not_authenticated_and_tells_nothing(token: object) -> None:
    message = why_refused(token)
    assert not isinstance(token, str) or len(token) < 4 or token not in message


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["role", "sub", "prefix", "projects", "exp", "nbf", "iat"]),
        json_values | st.sampled_from([*permissions.ROLES, "a-", NOW_S + 9]),
    )
)
def test_read_of_any_signed_claims_is_a_sound_identity_or_a_refusal(claims: dict[str, Any]) -> None:
    try:
        identity = TOKENS.read(made(claims))
    except NotAuthenticated:
        return
    assert identity.role in permissions.ROLES
    assert (identity.role == "device") == bool(identity.device or identity.prefix)
    assert identity.expires_s is None or identity.expires_s > NOW_S
    assert ("projects" in claims) == (identity.projects is not None)


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_prefix_owns_exactly_what_begins_with_it(stem: str, rest: str) -> None:
    identity = Identity("device", prefix=f"{stem}-")
    assert identity.owns(f"{stem}-{rest}") == bool(rest)
    assert not identity.owns(stem)
