"""`python -m workers`: one worker, its settings from the environment and config.json."""

from __future__ import annotations

import sys

from service import endings


def main() -> int:
    """Run until SIGTERM; exit code 2 when the settings are refused."""
    endings.end_at_once()  # before all else: imports take their time too
    from service.config.loader import load_config, require_redis
    from service.errors import ConfigError

    try:
        config = load_config()
        require_redis(config, "a worker")
        from service.observability import logs

        logs.configure(
            config.log.level,
            config.log.format,
            process="worker",
            secrets=(config.auth.secret,),
        )
        from workers.runner import run

        run(config)
    except ConfigError as exc:
        print(f"muster: {exc}", file=sys.__stderr__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
