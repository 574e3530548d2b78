"""How many sockets each address has, logged in or not."""

from __future__ import annotations

from collections.abc import Callable

from service.transport.unauthenticated import ADDRESS, group_of


class Addresses:
    """The addresses of one node's sockets.

    Args:
        most: how many sockets one address may have; 0: any number.
        refused: called with the address and `address` when it has as many.
    """

    def __init__(
        self, most: int = 0, refused: Callable[[str, str], object] = lambda address, why: None
    ) -> None:
        self.most = most
        self._refused = refused
        self._counts: dict[str, int] = {}

    def has_room(self, address: str) -> bool:
        """Return whether this address may have one more."""
        if not self.most or self._counts.get(group_of(address), 0) < self.most:
            return True
        self._refused(address, ADDRESS)
        return False

    def enter(self, address: str) -> Callable[[], None]:
        """Count a socket; what is returned takes it away again, once."""
        group = group_of(address) if self.most else ""
        if group:
            self._counts[group] = self._counts.get(group, 0) + 1

        def leave() -> None:
            nonlocal group
            count = self._counts.pop(group, 0) - 1
            if count > 0:
                self._counts[group] = count
            group = ""

        return leave
