"""`muster token`: makes tokens for devices, dashboards and operators."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any, Literal

import typer

from service.cli import options
from service.config.loader import PREFIX, load_config
from service.errors import ConfigError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar=f"{PREFIX}TOKEN",
        show_default=False,
        help="Token, if the nodes require a login; see `muster token`.",
    ),
]


def token(
    role: Annotated[
        Literal["device", "viewer", "operator", "admin"],
        typer.Option(help="device, viewer, operator or admin."),
    ],
    device: Annotated[str | None, typer.Option(help="For a device: its id.")] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help="For devices, instead: prefix of their ids; ends in `-`, `_`, `.`, `:` or `/`."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="For a person: the name that timelines show for what is done with it."),
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option(help="Limit the token to this project; may be repeated.")
    ] = None,
    expires: Annotated[
        str,
        typer.Option(help="How long the token is valid, such as 90s, 15m, 12h, 30d; or `never`."),
    ] = "30d",
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Print a token, signed with auth.secret of this environment.

    A single token cannot be revoked; a new auth.secret ends all tokens.
    """
    from service.security.tokens import Tokens

    secret = load_config(config).auth.secret
    if not secret:
        raise ConfigError(
            f"auth.secret is not set: set {PREFIX}AUTH__SECRET to the secret of the nodes"
        )
    lifetime_s = parse_lifetime(expires)
    if role == "device" and not device and not prefix:
        raise typer.BadParameter(
            "a device's token needs one of both", param_hint="--device/--prefix"
        )
    made = Tokens(secret, time.time)
    try:
        text = made.issue(
            role,
            device=device or "",
            prefix=prefix or "",
            projects=project,
            lifetime_s=lifetime_s,
            name=name or "",
        )
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    if not json_output:
        typer.echo(text)
        return
    identity = made.read(text)
    shown: dict[str, Any] = {"token": text, "role": role, "expires_at": identity.expires_s}
    shown |= {"device": device, "prefix": prefix, "name": name, "projects": project}
    options.show_json(shown)


def parse_lifetime(text: str, hint: str = "--expires") -> float | None:
    """Return the seconds of such as `90s`, `12h`, `30d`; None for `never`."""
    if text == "never":
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhdw])", text)
    if not match or int(match[1]) == 0:
        raise typer.BadParameter(
            f"{text!r} is not like 90s, 15m, 12h, 30d, 4w or never", param_hint=hint
        )
    seconds = int(match[1]) * _UNITS_S[match[2]]
    if seconds > 100 * 366 * 86400:
        raise typer.BadParameter("more than a hundred years: use `never`", param_hint=hint)
    return float(seconds)
