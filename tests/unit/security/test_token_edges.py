"""Tokens at their edges: seconds that are no whole ones, empty texts, long names, and whose token it is."""

from __future__ import annotations

import jwt
import pytest

from service.acting import MAX_WHO_BYTES
from service.errors import NotAuthenticated
from service.security.permissions import DEVICE, Identity
from service.security.tokens import Tokens, credentials

SECRET = "a-secret-of-at-least-thirty-two-bytes"
NOW_S = 1_800_000_000.7
TOKENS = Tokens(SECRET, lambda: NOW_S)


def test_token_never_lasts_longer_than_it_was_made_for_and_is_valid_at_once_everywhere() -> None:
    token = TOKENS.issue("viewer", lifetime_s=60)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["exp"], claims["iat"]) == (1_800_000_060, 1_800_000_000)


def test_clock_of_its_maker_may_be_five_seconds_ahead_and_no_more() -> None:
    def with_begin(seconds: float) -> str:
        return jwt.encode({"role": "viewer", "nbf": NOW_S + seconds}, SECRET, algorithm="HS256")

    assert TOKENS.read(with_begin(4.9)).role == "viewer"
    with pytest.raises(NotAuthenticated, match="not valid yet"):
        TOKENS.read(with_begin(5.1))


def test_end_has_no_leeway() -> None:
    token = jwt.encode({"role": "viewer", "exp": NOW_S - 0.1}, SECRET, algorithm="HS256")
    with pytest.raises(NotAuthenticated, match="expired"):
        TOKENS.read(token)


def test_each_token_has_an_id_of_its_own_by_which_its_quota_counts() -> None:
    ids = {TOKENS.read(TOKENS.issue("device", device=f"d{n}")).token_id for n in range(64)}
    assert len(ids) == 64


def test_name_in_timelines_is_bounded() -> None:
    long = jwt.encode({"role": "viewer", "sub": "é" * 500}, SECRET, algorithm="HS256")
    assert TOKENS.read(long).name == "é" * (MAX_WHO_BYTES // 2)


def test_token_that_is_empty_is_a_wrong_one_and_hides_what_a_header_says() -> None:
    assert credentials({"token": ""}, "Bearer good") == ""
    assert credentials({"token": None}, "Bearer good") == "good"
    assert credentials({"token": 0}, "Bearer good") == 0


def test_device_that_is_bound_to_nothing_owns_nothing() -> None:
    assert not Identity(DEVICE).owns("")
    assert not Identity(DEVICE).owns("d")
