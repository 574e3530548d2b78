"""The process of a node: `python -m service.cli.node_process`, what `muster node` becomes.

Sockets, locks and threads that exist before eventlet or gevent patch the standard library stay as they
are, and typer and pydantic bring some. So this begins with nothing but the standard library, handles
signals, finds the mode in the environment, where `muster node` and `muster up` put all settings, and patches first.
"""

from __future__ import annotations

import os
import sys
import warnings

from service.endings import end_at_once


def patch(async_mode: str) -> None:
    """Replace blocking parts of the standard library by those of eventlet or gevent."""
    if async_mode == "gevent":
        from gevent import monkey

        monkey.patch_all()
        return
    with warnings.catch_warnings():
        # It announces its retirement; docs/decisions/0003 has why it is the default still.
        warnings.simplefilter("ignore")
        import eventlet
    eventlet.monkey_patch()


def main() -> int:
    """Run the node until SIGTERM; return the exit code."""
    from service.config.loader import load_config
    from service.errors import ConfigError, ServiceError
    from service.observability import logs

    try:
        config = load_config()
        logs.configure(
            config.log.level,
            config.log.format,
            process="node",
            secrets=(config.auth.secret,),
        )
        from service.node.build import run_node

        run_node(config, config.node.port, insecure="--insecure" in sys.argv[1:])
    except (ConfigError, ServiceError) as exc:
        print(f"muster: {logs.escape(str(exc))}", file=sys.__stderr__)
        return 2 if isinstance(exc, ConfigError) else 1
    return 0


if __name__ == "__main__":
    end_at_once()
    patch(os.environ.get("MUSTER_NODE__ASYNC_MODE", "eventlet"))
    sys.exit(main())
