"""The `--url` option of the commands that are clients."""

from __future__ import annotations

from urllib.parse import urlsplit

import typer

#: The first node of `muster up`.
DEFAULT_URL = "http://127.0.0.1:5000"


def parse_urls(values: list[str] | None) -> list[str]:
    """Node URLs from repeated or comma-separated options; `DEFAULT_URL` when there are none."""
    urls = [
        one.strip() for value in values or [DEFAULT_URL] for one in value.split(",") if one.strip()
    ]
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
            raise typer.BadParameter(f"{url!r} is not like {DEFAULT_URL}", param_hint="--url")
    return urls or [DEFAULT_URL]
