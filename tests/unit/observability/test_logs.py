"""Log lines: one each, whatever a client sent."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from service.observability import logs

HOSTILE = "dev\r\nERROR forged\x1b[31m\u2028x\u202e\x85\x00\ud800 <é🎉>"


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Puts logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def written(form: str, **extra: object) -> str:
    out = io.StringIO()
    logs.configure("info", form, process="node", stream=out)
    logging.getLogger("service.x").warning("Something %s.", "happened", extra=extra)
    return out.getvalue()


def test_json_hostile_id_stays_one_parsable_line() -> None:
    """A client cannot forge a line, and its id is still readable from the line."""
    text = written("json", action="session_opened", session_id=HOSTILE)
    assert len(text.splitlines()) == 1
    line = json.loads(text)
    assert line["session_id"] == HOSTILE
    assert line["event"] == "Something happened."
    assert (line["level"], line["action"]) == ("warning", "session_opened")
    assert line["process_name"] == "node"
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_console_hostile_id_stays_one_line() -> None:
    """The same on a terminal."""
    text = written("console", session_id=HOSTILE)
    assert len(text.splitlines()) == 1
    assert text.rstrip("\n").isprintable()
    assert "Something happened." in text


def test_console_traceback_lines_are_indented() -> None:
    """An error text with a newline cannot look like a line of its own."""
    out = io.StringIO()
    logs.configure("info", "console", stream=out)
    try:
        raise ValueError("bad\n12:00:00 error forged")
    except ValueError:
        logging.getLogger("x").exception("It failed.")
    lines = out.getvalue().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("    | ") for line in lines[1:])


@pytest.mark.parametrize("value", ["x" * 100_000, {"a": "x" * 100_000}, object(), {1, 2}, b"x"])
def test_any_value_is_written_and_bounded(value: object) -> None:
    """No field makes logging fail or a line endless."""
    for form in ("json", "console"):
        assert 10 < len(written(form, value=value)) < 3000


def test_throttle_repeated_lines_are_counted_not_written() -> None:
    """Of lines clients cause at will a few are written, the next window tells the rest."""
    now = [0.0]
    throttle = logs.Throttle(burst=2, window_s=10, clock=lambda: now[0])

    def passes(word: str | None) -> logging.LogRecord | None:
        record = logging.LogRecord("n", logging.INFO, "", 0, "Refused.", (), None)
        if word is not None:
            record.throttle = word
        return record if throttle.filter(record) else None

    assert [bool(passes("a")) for _ in range(5)] == [True, True, False, False, False]
    assert passes("b")
    assert all(passes(None) for _ in range(5))
    now[0] = 10.0
    record = passes("a")
    assert record is not None
    assert record.__dict__["suppressed"] == 3
    assert "throttle" not in record.__dict__


def test_throttle_endless_kinds_stay_bounded() -> None:
    """Memory does not grow with what clients make up."""
    throttle = logs.Throttle()
    for number in range(3 * throttle.max_kinds):
        record = logging.LogRecord("n", logging.INFO, "", 0, "Refused.", (), None)
        record.throttle = str(number)
        throttle.filter(record)
    assert len(throttle._kinds) <= throttle.max_kinds


# -- what no line may hold

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYWRtaW4ifQ.c2lnbmF0dXJl-_x"
SECRET = "a secret without any form"


@pytest.mark.parametrize("form", ["json", "console"])
def test_tokens_and_secrets_are_taken_out_of_every_line(form: str) -> None:
    """Wherever they stand: in fields, in the sentence, in a traceback; the rest stays readable."""
    out = io.StringIO()
    logs.configure("info", form, stream=out, secrets=(SECRET, ""))  # type: ignore[arg-type]
    log = logging.getLogger("service.x")
    log.warning("Bearer %s", TOKEN, extra={"auth": {"token": TOKEN}, "why": f"was {SECRET}!"})
    try:
        raise ValueError(f"redis://user:hunter2@db:6379/0 {TOKEN} {SECRET}")
    except ValueError:
        log.exception("failed", extra={"action": "x"})
    text = out.getvalue()
    assert "eyJ" not in text
    assert "c2lnbmF0dXJl" not in text
    assert SECRET not in text
    assert "hunter2" not in text
    assert "db:6379/0" in text
    assert text.count("***") >= 6
    if form == "json":
        assert [json.loads(line)["event"] for line in text.splitlines()] == ["Bearer ***", "failed"]


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:5000/x", "a@b", "host:5 x@y", "eyJ", "keyJob", "a://b:c d@e"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.redact(text) == text


# -- what others print


def test_what_libraries_print_becomes_lines_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """eventlet and gevent print tracebacks by themselves, with error texts that clients chose."""
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    logs.configure("info", "json", process="node")
    logs.bind(node_id="n-1")
    print("Traceback:\n  forged\x1b[31m\u2028forged", file=sys.stderr)
    logging.getLogger("x").warning("ours", extra={"node_id": "another"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [
        "Traceback:",
        "  forged\x1b[31m\u2028forged",
        "ours",
    ]
    assert [line["node_id"] for line in lines] == ["n-1", "n-1", "another"]


def test_logging_that_fails_does_not_go_round_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    """What logging says of its own failure is not logged again."""

    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError("no space left")

    monkeypatch.setattr(sys, "stderr", Broken())
    logs.configure("info", "json", process="node")
    logging.getLogger("x").warning("lost")
    print("lost too", file=sys.stderr)


def test_json_long_text_keeps_its_beginning_and_its_end() -> None:
    """Libraries put tracebacks into messages; what went wrong is their last line."""
    traceback = "could not do it\n" + "  File …\n" * 5000 + "ValueError: this is why"
    line = json.loads(written("json", details=traceback))
    assert line["details"].startswith("could not do it")
    assert line["details"].endswith("ValueError: this is why")
    assert len(line["details"]) < 2 * logs.MAX_TEXT
