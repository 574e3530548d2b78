"""Large answers: what a node keeps for those that ask and do not read is bounded, whoever asks how often."""

from __future__ import annotations

import pytest

from service import errors
from service.security.permissions import EVERYBODY, Identity
from service.sockets.call import Peer
from service.sockets.watching.large_answers import (
    LARGE_BYTES,
    NODE_BYTES,
    TOKEN_BYTES,
    LargeAnswers,
)

MIB = 1 << 20


class Bench:
    """Sockets that read nothing until they are told to."""

    def __init__(self) -> None:
        self.backlog: dict[str, int] = {}
        self.answers = LargeAnswers(lambda sid: self.backlog.get(sid, 0), 4 * MIB)

    def ask(self, sid: str, size: int, token: str = "") -> bool:
        """A request whose answer has this size; False: it was refused."""
        identity = Identity("viewer", token_id=token) if token else EVERYBODY
        peer = Peer(sid, "10.0.0.1", identity)
        try:
            self.answers.check_read(peer)
            self.answers.check(peer, size)
        except errors.Overloaded:
            return False
        self.backlog[sid] = self.backlog.get(sid, 0) + size
        return True


@pytest.mark.parametrize("size", [1000, LARGE_BYTES + 1, 3 * MIB])
def test_socket_that_does_not_read_gets_no_further_answers(size: int) -> None:
    bench = Bench()
    while bench.ask("a", size):
        pass
    assert bench.backlog["a"] <= 4 * MIB // 8 + size
    bench.backlog["a"] = 0
    assert bench.ask("a", size)


def test_sockets_of_one_token_share_what_may_wait() -> None:
    bench = Bench()
    taken = [bench.ask(f"a{n}", 3 * MIB, token="one") for n in range(100)]
    assert sum(bench.backlog.values()) <= TOKEN_BYTES
    assert taken.count(True) == TOKEN_BYTES // (3 * MIB)
    assert bench.ask("b", 3 * MIB, token="two")


def test_answers_that_are_sent_some_time_after_the_question_are_counted() -> None:
    """Sockets that ask all at once are each checked before anything waits for another."""
    bench = Bench()
    peers = [Peer(f"a{n}", "10.0.0.1", Identity("viewer", token_id="one")) for n in range(16)]
    for peer in peers:
        bench.answers.check(peer, 2 * MIB)
    for peer in peers:
        bench.backlog[peer.sid] = 2 * MIB
        bench.answers.note(peer)
    assert not bench.ask("b", 2 * MIB, token="one")
    peers[0].closed = True
    bench.backlog.clear()
    bench.answers.note(peers[0])
    assert bench.ask("b", 2 * MIB, token="one")
    assert list(bench.answers._waiting) == ["b"]


def test_all_together_are_bounded_and_small_answers_pass() -> None:
    bench = Bench()
    for n in range(200):
        bench.ask(f"a{n}", 3 * MIB, token=f"t{n}")
    assert NODE_BYTES - 3 * MIB < sum(bench.backlog.values()) <= NODE_BYTES
    assert bench.ask("small", LARGE_BYTES, token="t")
    bench.backlog.clear()
    assert bench.ask("large", 3 * MIB, token="t")


def test_those_that_read_are_never_refused() -> None:
    bench = Bench()
    for n in range(1000):
        assert bench.ask(f"a{n}", 3 * MIB)
        bench.backlog[f"a{n}"] = 0
    assert len(bench.answers._waiting) == 1
