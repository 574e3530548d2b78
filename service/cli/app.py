"""The tree of commands. Each one's module is imported when it is called, not for `--help`."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from service.endings import INTERRUPTED, interrupts_end, interrupts_raise
from service.errors import ConfigError, ServiceError

#: Exit codes: wrong usage and wrong settings are 2, as everywhere; all else that fails is 1.
FAILED, REFUSED = 1, 2

#: name → module below service.cli, its function or Typer, what it does
COMMANDS = {
    "up": ("local.up", "up", "Run everything on this machine: Redis, nodes, workers."),
    "node": ("node", "node", "Run one node."),
    "worker": ("worker", "worker", "Run one worker."),
    "agent": ("simulation.agent", "agent", "Report this machine's real readings as a device."),
    "simulate": ("simulation.simulate", "simulate", "Run a fleet of simulated devices."),
    "status": ("status", "status", "Show alarms, nodes and the number of sessions."),
    "sessions": ("sessions.command", "sessions", "List, show, follow and delete sessions."),
    "top": ("top", "top", "Watch nodes, rates, sessions and alarms live."),
    "jobs": ("jobs", "jobs", "Show jobs and sweeps, and run failed jobs again."),
    "send": ("send", "send", "Send a command to a device."),
    "archive": ("archive.command", "archive", "List, check, export and import archived sessions."),
    "backup": (
        "backup.backup",
        "backup",
        "Copy Redis, at one moment, and the archive into a folder.",
    ),
    "restore": ("backup.restore", "restore", "Put a backup into an empty Redis and archive."),
    "token": ("token", "token", "Create a token for a device or a person."),
    "config": ("config", "config", "Check and show the settings."),
    "doctor": ("doctor.command", "doctor", "Look for problems, and say how to fix them."),
}


class LazyGroup(TyperGroup):
    """Lists commands from the table; imports the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][2])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        # the names are for its "Did you mean"
        self.commands = {name: self.get_command(ctx, name) for name in COMMANDS}
        name, command, rest = super().resolve_command(ctx, args)
        if command is None:
            return name, None, rest
        loaded = load_command(str(name))
        interrupts_raise()
        return name, loaded, rest


def load_command(name: str) -> Any:
    """Return the real command behind a name of the table."""
    module_name, attribute, _help = COMMANDS[name]
    target = getattr(importlib.import_module(f"service.cli.{module_name}"), attribute)
    if isinstance(target, typer.Typer):
        return typer.main.get_command(target)
    one = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    one.command(name)(target)
    return typer.main.get_command(one)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(value: bool) -> None:
    if value:
        from service.version import installed_version

        typer.echo(installed_version() or "a checkout that is not installed")
        raise typer.Exit


@app.callback()
def muster(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Muster: sessions of device fleets, live, over any number of nodes.

    Start with `muster up --demo 20`. Settings: config.json, MUSTER_<GROUP>__<KEY>, flags.
    """


def run() -> None:
    """Run the command of this process's arguments: a failure is one line and an exit code."""
    try:
        try:
            app(prog_name="muster")
        finally:
            interrupts_end()  # what is left is Python's own end
    except ConfigError as exc:
        fail(str(exc), REFUSED)
    except ServiceError as exc:
        fail(exc.message, FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # `muster … | head`: the reader has closed the pipe
        sys.exit(FAILED)
    except Exception as exc:  # noqa: BLE001 a user is shown no traceback
        text = " ".join(str(exc).split()) or "no details"
        fail(f"unexpected {type(exc).__name__}: {text}", FAILED)


def fail(message: str, code: int) -> None:
    """Print what is wrong on stderr and ends the process."""
    from service.observability.logs import printable

    for line in message.splitlines() or [""]:
        print(f"muster: {printable(line)}", file=sys.stderr)
    sys.exit(code)
