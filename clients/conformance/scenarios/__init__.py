"""All scenarios, in the order of docs/clients.md."""

from clients.conformance.running import SCENARIOS, Scenario
from clients.conformance.scenarios import (  # noqa: F401  each adds to the list
    commands,
    connections,
    exactly_once,
    fleets,
    logins,
    operators,
    restarts,
    setups,
)

__all__ = ["SCENARIOS", "Scenario"]
