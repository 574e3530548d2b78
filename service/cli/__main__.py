"""`python -m service.cli` is `muster`."""

from service.cli import main

main()
