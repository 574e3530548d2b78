"""`muster send`: a command to a device, and what became of it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from service.cli import options
from service.observability.logs import escape

#: Statuses after which the device did not do it.
_FAILED = ("failed", "timed_out", "expired", "cancelled")


def send(
    session_id: Annotated[str, typer.Argument(help="The device id.")],
    command: Annotated[str, typer.Argument(help="Name of the command, such as `reboot`.")],
    params: Annotated[
        str | None, typer.Argument(help="Parameters of the command, as JSON.")
    ] = None,
    wait: Annotated[
        Literal["queued", "delivered", "result"], typer.Option(help="The step to wait for.")
    ] = "result",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 30,
    ttl: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Seconds that the command stays open; commands.ttl_s; 0: the device must be connected now.",
        ),
    ] = None,
    redis: options.RedisOption = None,
    data: options.DataOption = None,
    config: options.ConfigOption = None,
    json_output: options.JsonOption = False,
) -> None:
    """Send a command to a device, on whatever node it is connected.

    Exit code 1 if the command failed, expired, or got no answer within --timeout (then it stays open).
    """
    parameters = _parse(params)
    with options.open_manager(redis, data, config) as manager:
        sent = manager.send_command(
            session_id, command, parameters, ttl_s=ttl, wait=wait, timeout_s=timeout
        )
    if json_output:
        options.show_json(sent)
    else:
        line = f"{sent['status']}  {sent['command_id']}"
        for name in ("result", "error"):
            if sent.get(name) is not None:
                line += f"  {name}: {json.dumps(sent[name], ensure_ascii=False)}"
        typer.echo(escape(line))
    if sent["status"] in _FAILED:
        raise typer.Exit(1)


def _parse(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise typer.BadParameter(
            f"{text!r} is not JSON; a string needs quotes: '\"on\"'", param_hint="params"
        ) from exc
