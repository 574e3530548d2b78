"""The node's standing with Redis: renewals and flushes are two facts, each ended by its own proof."""

from __future__ import annotations

from service.live.standing import Standing


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_renewal_is_as_old_as_its_question_and_says_nothing_of_flushes() -> None:
    clock = Clock()
    standing = Standing(2.0, clock)
    standing.unanswered(3)
    clock.now_s = 104.0
    assert standing.is_renewed
    standing.renewed(asked_at=103.0)
    assert (standing.age_s, standing.is_renewed, standing.is_away) == (1.0, True, True)
    assert not standing.ok
    standing.unanswered(4)
    standing.ended([4])
    assert standing.is_away
    standing.ended([3])
    assert standing.ok
    clock.now_s = 107.9
    assert standing.is_renewed
    clock.now_s = 108.0  # two renewals and a second were missed
    assert not standing.is_renewed


def test_node_that_sent_its_clients_away_takes_new_ones_after_a_renewal() -> None:
    standing = Standing(2.0, Clock())
    standing.detached = True
    standing.renewed(100.0)
    assert not standing.detached
