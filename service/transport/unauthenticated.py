"""Bounds on unauthenticated clients: their number, and what they may send.

There are two kinds, each counted on its own: HTTP connections, and the Engine.IO sockets that have not
connected with a token (without a login: not registered as a device). A bound holds per address and for the
node. Loopback and trusted proxies have no bound of their own, since many clients come from there.

A bound on their number alone would not help: a client that is disconnected comes again at once. So what
they send is a debt of their address and of the node, in messages and in bytes. The debt of a client
that logs in is cancelled, the rest is forgiven evenly within a minute. A fleet that comes back all at once
owes nothing afterwards.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable

#: What may be owed, for each client that may be here.
MESSAGES_EACH = 10
BYTES_EACH = 16 * 1024
#: All debt is forgiven in this time.
FORGIVEN_S = 60.0
#: Read at a time from a client's websocket before its login, and discarded of it once it is to end.
READ_BYTES = 1024
DISCARD_BYTES = 256 * 1024
#: Addresses that are remembered; those without a connection are forgotten first.
MAX_ADDRESSES = 20_000

ADDRESS, NODE = "address", "node"


class _Account:
    """The debt of one address, or of the node."""

    __slots__ = ("at_s", "count", "messages", "most", "most_messages", "most_size", "name", "size")

    def __init__(self, name: str, most: int, now_s: float) -> None:
        self.name = name
        self.most = most  # 0: no bound
        #: What may be owed.
        self.most_messages = most * MESSAGES_EACH if most else math.inf
        self.most_size = most * BYTES_EACH if most else math.inf
        self.count = 0
        self.messages = 0.0
        self.size = 0.0
        self.at_s = now_s

    def owes_too_much(self) -> bool:
        return self.messages > self.most_messages or self.size > self.most_size

    def forgive(self, now_s: float) -> None:
        if not self.most:
            self.messages = self.size = 0.0
            return
        part = min(1.0, max(0.0, now_s - self.at_s) / FORGIVEN_S)
        self.at_s = now_s
        self.reduce(part * self.most_messages, part * self.most_size)

    def reduce(self, messages: float, size: float) -> None:
        self.messages = self.messages - messages if self.messages > messages else 0.0
        self.size = self.size - size if self.size > size else 0.0

    @property
    def is_settled(self) -> bool:
        return not (self.count or self.messages or self.size)


class Ticket:
    """The stay of one unauthenticated client, from `UnauthenticatedClients.enter` to `leave`."""

    __slots__ = ("_account", "_clients", "messages", "size")

    def __init__(self, clients: UnauthenticatedClients, account: _Account) -> None:
        self._clients: UnauthenticatedClients | None = clients
        self._account = account
        self.messages = 0
        self.size = 0

    @property
    def is_unauthenticated(self) -> bool:
        """Return whether its client has not logged in."""
        return self._clients is not None

    def spend(self, messages: int, size: int) -> bool:
        """Add to the debt; False when it is too much, and the connection should end. Free after `leave`."""
        clients = self._clients
        if clients is None:
            return True
        self.messages += messages
        self.size += size
        return clients.owe(self, self._account, messages, size)

    def leave(self, *, is_known: bool = False) -> None:
        """End the stay; harmless the second time.

        Args:
            is_known: it logged in, and owes nothing.
        """
        clients, self._clients = self._clients, None
        if clients is not None:
            clients.left(self, self._account, is_known)


class UnauthenticatedClients:
    """The unauthenticated clients of one kind on one node.

    Args:
        per_address: how many of one address; 0: no bound.
        per_node: how many there may be; 0: no bound.
        is_exempt: whether an address has no bound of its own.
        refused: called at each refusal with the address, and whether the bound of the `address` or of
            the `node` was reached.
        max_messages: of one of them; 0: no bound.
        max_bytes: likewise.
    """

    def __init__(
        self,
        *,
        per_address: int = 0,
        per_node: int = 0,
        is_exempt: Callable[[str], bool] = lambda address: False,
        refused: Callable[[str, str], object] = lambda address, why: None,
        max_messages: int = 0,
        max_bytes: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_address = per_address
        self._is_exempt = is_exempt
        self._refused = refused
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._now = now
        self._node = _Account("", per_node, now())
        self._addresses: dict[str, _Account] = {}

    @property
    def count(self) -> int:
        """Return how many are here."""
        return self._node.count

    def enter(self, address: str) -> Ticket | None:
        """Let a connection in; None where there are too many, or too much is owed."""
        account = self._account(address)
        now_s = self._now()
        for one, why in ((account, ADDRESS), (self._node, NODE)):
            one.forgive(now_s)
            if one.owes_too_much() or (one.most and one.count >= one.most):
                self._refused(address, why)
                return None
        account.count += 1
        self._node.count += 1
        return Ticket(self, account)

    def owe(self, ticket: Ticket, account: _Account, messages: int, size: int) -> bool:
        """See `Ticket.spend`."""
        node = self._node
        account.messages += messages
        account.size += size
        node.messages += messages
        node.size += size
        if (  # `owes_too_much`, written out: this runs for all that strangers send
            account.messages > account.most_messages
            or account.size > account.most_size
            or node.messages > node.most_messages
            or node.size > node.most_size
        ):
            for one in (account, node):
                one.forgive(self._now())
            if account.owes_too_much() or node.owes_too_much():
                self._refused(account.name, ADDRESS if account.owes_too_much() else NODE)
                return False
        return not (
            (self._max_messages and ticket.messages > self._max_messages)
            or (self._max_bytes and ticket.size > self._max_bytes)
        )

    def left(self, ticket: Ticket, account: _Account, is_known: bool) -> None:
        """See `Ticket.leave`."""
        for one in (account, self._node):
            one.count -= 1
            if is_known:
                one.reduce(ticket.messages, ticket.size)

    def _account(self, address: str) -> _Account:
        group = group_of(address)
        account = self._addresses.get(group)
        if account is None:
            if len(self._addresses) >= MAX_ADDRESSES:
                self._forget_settled()
            most = 0 if self._is_exempt(address) else self._per_address
            account = _Account(group, most, self._now())
            if len(self._addresses) < MAX_ADDRESSES:
                self._addresses[group] = account
        return account

    def _forget_settled(self) -> None:
        now = self._now()
        for account in self._addresses.values():
            account.forgive(now)
        kept = {group: one for group, one in self._addresses.items() if not one.is_settled}
        if len(kept) >= MAX_ADDRESSES:  # an address that owes much is remembered because it is here
            kept = {group: one for group, one in kept.items() if one.count}
        self._addresses = kept


def group_of(address: str) -> str:
    """Return what counts as one address: of IPv6 the 64 bits that identify a network."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
