"""Logging: structlog renders what the standard library's `logging` collects, one line each.

Modules log with `log = logging.getLogger(__name__)`: a constant sentence and `extra={"action": …}` with
fields. What a client sent appears in fields only; everything that is not printable is escaped
here, in the one place all lines pass, so no id or error text can begin a line of its own,
colour a terminal or turn the reading direction around.
A line a client can cause at will carries `extra={"throttle": <word>}`: of those with the same
sentence and word only some get through in a window, the next one says how many did not.
"""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Literal, TextIO

import structlog

#: What no line may hold: tokens (all begin with `{"` in base64), passwords in URLs.
_SECRETS = re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*){0,4}|(?<=://)[^\s/@:\"']*:[^\s/@\"']+(?=@)")
HIDDEN = "***"
#: Longer texts are cut: a line is for reading, and a client may send a megabyte.
MAX_TEXT = 2000
_QUIET = {"engineio": "warning", "socketio": "warning", "werkzeug": "warning", "rq": "warning"}

_printed = logging.getLogger("stderr")

#: Loggers of web servers that write a line for every request they do not understand.
_LOUD = frozenset({"gevent.pywsgi", "eventlet.wsgi"})

Event = MutableMapping[str, Any]


class Throttle(logging.Filter):
    """Lets `burst` records of a kind through per window; kinds are forgotten oldest first.

    Args:
        burst: records of one sentence and `throttle` word within a window.
        window_s: seconds.
        clock: seconds that never go back.
    """

    max_kinds = 1000

    def __init__(
        self, burst: int = 5, window_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._burst = burst
        self._window_s = window_s
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str, str], list[float]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write this record; sets its `suppressed` when others before it were not."""
        word = record.__dict__.pop("throttle", None)
        if record.name in _LOUD:
            kind = (record.name, "", "")
        elif word is None:
            return True
        else:
            kind = (record.name, str(record.msg), str(word)[:100])
        now = self._clock()
        seen = self._kinds.get(kind)  # [start of the window, passed, suppressed]
        if seen is None or now - seen[0] >= self._window_s:
            if seen and seen[2]:
                record.suppressed = int(seen[2])
            self._kinds[kind] = [now, 1, 0]
            self._kinds.move_to_end(kind)
            while len(self._kinds) > self.max_kinds:
                self._kinds.popitem(last=False)
            return True
        if seen[1] < self._burst:
            seen[1] += 1
            return True
        seen[2] += 1
        return False


def configure(
    level: str = "info",
    form: Literal["auto", "json", "console"] = "auto",
    *,
    process: str = "",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send all logging of this process to `stream`.

    Args:
        level: lowest level that is written.
        form: `auto`: console on a terminal, else JSON.
        secrets: texts that no line may hold.
        process: name of the process in each line, such as `node` or `worker`; empty: left out.
        stream: stderr unless given.
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            render_console if console else render_json,
        ],
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Redacting(formatter, secrets))
    handler.addFilter(Throttle())
    if process:
        handler.addFilter(_Named({"process_name": process}))
        if stream is None:
            sys.stderr = _AsLines(out)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(quiet.upper() if level != "debug" else "DEBUG")
    logging.captureWarnings(True)


class _Redacting(logging.Formatter):
    """Removes secrets from whole lines, tracebacks too."""

    def __init__(self, inner: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__()
        self._inner = inner
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._inner.format(record), self._secrets)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text without tokens, passwords in URLs, and these secrets."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _SECRETS.sub(HIDDEN, text)


class _Named(logging.Filter):
    """Adds the name of the process to every line."""

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__()
        self.fields = fields

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in self.fields.items():
            if name not in record.__dict__:
                setattr(record, name, value)
        return True


def bind(**fields: str) -> None:
    """Add these fields to every line of this process from now on, such as `node_id`."""
    for handler in logging.getLogger().handlers:
        for one in handler.filters:
            if isinstance(one, _Named):
                one.fields.update(fields)


class _AsLines(io.TextIOBase):
    """Turns what others print to stderr into log lines: eventlet and gevent print tracebacks.

    An error text in them may hold what a client sent.
    """

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._begun = ""
        self._is_writing = False

    def fileno(self) -> int:
        return self._out.fileno()

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if self._is_writing:  # logging itself failed and prints that: it must not be logged again
            return len(text)
        self._is_writing = True
        try:
            for line in filter(str.strip, lines):
                kind = re.sub(r"[\d\W]+", " ", line[:38])  # neither what a client sent nor a time
                _printed.warning("%s", line, extra={"action": "printed", "throttle": kind})
        finally:
            self._is_writing = False
        return len(text)


def printable(text: str) -> str:
    """Return `text` on one line: cut at `MAX_TEXT`, anything unprintable as \\uXXXX."""
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({len(text)} characters)"
    return text if text.isprintable() else escape(text)


def render_json(_logger: Any, _method: str, event: Event) -> str:
    """Render one JSON object on one line."""
    line = {"at": event.pop("timestamp", None), "level": event.pop("level", None)}
    line |= {"event": event.pop("event", ""), **event}
    return escape(json.dumps({k: _bounded(v, k) for k, v in line.items()}, ensure_ascii=False))


def render_console(_logger: Any, _method: str, event: Event) -> str:
    """Render time, level, sentence and fields; a traceback below, each of its lines indented."""
    at = str(event.pop("timestamp", ""))[11:23]
    level = str(event.pop("level", ""))
    sentence = printable(str(event.pop("event", "")))
    exception = event.pop("exception", None)
    fields = " ".join(f"{printable(str(k))}={_field(v)}" for k, v in event.items())
    text = f"{at} {level:<7} {sentence}" + (f"  {fields}" if fields else "")
    if exception:
        text += "".join(f"\n    | {escape(line)}" for line in str(exception).split("\n"))
    return text


def _field(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[\w.:/@#+-]{1,200}", value):
        return printable(value)
    return escape(json.dumps(_bounded(value), ensure_ascii=False))


def _bounded(value: Any, name: str = "") -> Any:
    """Return `value` as something JSON has; long texts without their middle, exceptions whole.

    Libraries put whole tracebacks into a message, and what went wrong stands at their end.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    if len(text) > MAX_TEXT and name != "exception":
        kept = MAX_TEXT // 2
        return f"{text[:kept]}… ({len(text)} characters) …{text[-kept:]}"
    return value if isinstance(value, str | list | dict) and _is_json(value) else text


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def escape(text: str) -> str:
    """Escape unprintable characters as JSON does: valid inside JSON strings, harmless outside."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
