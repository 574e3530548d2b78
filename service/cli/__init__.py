"""The command `muster`. Importing this imports nothing else, so that `--help` is quick and a node
can patch the standard library before anything uses it.
"""


def main() -> None:
    """Entry point of the console script."""
    from service.cli.app import run

    run()
