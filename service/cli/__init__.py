"""The command `muster`. Importing this imports nothing else, so that `--help` is quick and a node
can patch the standard library before anything uses it.
"""


def main() -> None:
    """Entry point of the console script."""
    import sys

    if sys.argv[1:2] in (["node"], ["worker"]):
        from service.endings import keep_waiting

        keep_waiting()  # for the process that this becomes
    from service.cli.app import run

    run()
