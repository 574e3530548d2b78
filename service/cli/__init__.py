"""The command `muster`. Importing this imports nothing else, so that `--help` is quick and a node
can patch the standard library before anything uses it.
"""


def main() -> None:
    """Entry point of the console script."""
    import os

    try:
        import sys

        from service.endings import interrupts_end, keep_waiting

        interrupts_end()  # while modules are imported; the command says what Ctrl-C means to it
        if sys.argv[1:2] in (["node"], ["worker"]):
            keep_waiting()  # for the process that this becomes
        from service.cli.app import run
    except KeyboardInterrupt:
        os._exit(130)

    run()
