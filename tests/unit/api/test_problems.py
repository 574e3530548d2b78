"""Problems: the code and status of each error, when to come again, and that each is counted."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask
from werkzeug.exceptions import MethodNotAllowed, RequestEntityTooLarge, ServiceUnavailable

from service import errors
from service.api import problems


def answer_to(error: Exception) -> tuple[Any, list[str]]:
    """The answer to a request whose handler raises this, and the codes that were counted."""
    counted: list[str] = []
    app = Flask("problems")
    problems.install(app, counted.append)

    def fail() -> str:
        raise error

    app.add_url_rule("/a", view_func=fail)
    return app.test_client().get("/a"), counted


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (errors.RateLimited(retry_after_s=0), "1"),
        (errors.RateLimited(retry_after_s=0.2), "1"),
        (errors.RateLimited(retry_after_s=1.01), "2"),
        (errors.RateLimited(retry_after_s=7), "7"),
        (errors.Overloaded(), "1"),
        (errors.StoreUnavailable(), "2"),
        (errors.Draining(), "1"),
        (errors.Conflict(), None),
        (errors.Internal(), None),
    ],
    ids=str,
)
def test_what_may_succeed_later_says_when_and_nothing_else(
    error: errors.ServiceError, seconds: str | None
) -> None:
    """In whole seconds, never too early and never at once."""
    answer, counted = answer_to(error)
    assert answer.headers.get("Retry-After") == seconds
    assert (answer.status_code, answer.json["code"]) == (error.status, error.code)
    assert counted == [error.code]


@pytest.mark.parametrize(
    ("error", "status", "code", "header"),
    [
        (MethodNotAllowed(valid_methods=["GET"]), 405, "invalid_request", ("Allow", "GET")),
        (ServiceUnavailable(retry_after=9), 503, "internal", ("Retry-After", "9")),
        (RequestEntityTooLarge(), 413, "too_large", ("Retry-After", None)),
    ],
    ids=str,
)
def test_errors_of_the_library_are_problems_too(
    error: Exception, status: int, code: str, header: tuple[str, str | None]
) -> None:
    answer, counted = answer_to(error)
    assert answer.mimetype == problems.CONTENT_TYPE
    assert (answer.status_code, answer.json["code"], counted) == (status, code, [code])
    assert answer.headers.get(header[0]) == header[1]


def test_error_that_nobody_expected_is_internal_and_logged_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    answer, counted = answer_to(ZeroDivisionError("a secret"))
    assert (answer.status_code, counted) == (500, ["internal"])
    assert "secret" not in answer.text
    [line] = caplog.records
    assert line.log_id == answer.json["log_id"]  # type: ignore[attr-defined]
    assert line.exc_info is not None
