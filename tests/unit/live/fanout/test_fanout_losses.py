"""Outages and losses of the feed, and dashboards that read too slowly."""

from __future__ import annotations

import pytest

from service.live.feed.scope import Scope
from tests.support.nodes.live_fakes import (
    command,
    data,
    samples_of,
    state,
)


class TestLosses:
    def test_outage_delays_and_loses_nothing(self, tasks, feed, node):
        node.watch("a", batch=True)
        tasks.run(0.2)
        feed.is_away = True
        tasks.run(5)
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        tasks.run(5)
        assert samples_of(node.events("a")) == []
        feed.is_away = False
        tasks.run(1.5)
        assert samples_of(node.events("a")) == [("x", ["k", 1, 1])]
        assert "resync" not in node.names("a")
        assert feed.connections == 2

    @pytest.mark.parametrize("while_away", [True, False])
    def test_emptied_redis_is_told_as_resync(self, tasks, feed, node, while_away):
        node.watch("a", batch=True)
        tasks.run(0.2)
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        tasks.run(0.2)
        feed.is_away = while_away
        tasks.run(1)
        feed.empty(0)
        for number in range(5):
            feed.add(0, data(("x", number, [["k", "other epoch", 1]])))
        feed.is_away = False
        tasks.run(3)
        assert node.events("a")[-1] == ("resync", {"reason": "epoch_changed"})
        assert [s[1] for _, s in samples_of(node.events("a"))] == [1]
        assert node.fanout.figures()["dashboards"] == 0
        node.watch("a", batch=True)
        feed.add(0, data(("x", 7, [["k", "new", 1]])))
        tasks.run(1)
        assert [s[1] for _, s in samples_of(node.events("a"))] == [1, "new"]

    def test_redis_that_forgot_its_last_entries_is_told_as_resync(self, tasks, feed, node):
        """The numbers go on as if nothing had been: only opening the feeds anew shows it."""
        node.watch("a", batch=True)
        tasks.run(0.2)
        for number in range(1, 4):
            feed.add(0, data(("x", number, [["k", number, 1]])))
        tasks.run(0.2)
        feed.restart(lost=2)
        for number in range(2, 5):
            feed.add(0, data(("x", number, [["k", "other", 1]])))
        tasks.run(3)
        assert [s[1] for _, s in samples_of(node.events("a"))] == [1, 2, 3]
        assert node.names("a")[-1] == "resync"

    def test_feed_trimmed_past_the_reader_is_told_as_resync(self, tasks, feed, node):
        node.watch("a", batch=True)
        tasks.run(0.2)
        feed.is_away = True
        tasks.run(0.2)
        for number in range(1, 10):
            feed.add(0, data(("x", number, [["k", number, 1]])))
        feed.trim(0, 3)
        feed.is_away = False
        tasks.run(3)
        assert node.events("a") == [("resync", {"reason": "feed_trimmed"})]

    def test_feed_trimmed_past_a_slow_catch_up_is_told_as_resync_to_it_alone(
        self, tasks, feed, node
    ):
        start = feed.head([0])
        for number in range(1, 10):
            feed.add(0, data(("x", number, [["k", number, 1]])))
        node.watch("live", batch=True)
        tasks.run(0.2)
        feed.trim(0, 3)
        node.watch("late", batch=True, start=start)
        tasks.run(0.5)
        assert node.events("late") == [("resync", {"reason": "feed_trimmed"})]
        assert node.events("live") == []
        assert node.fanout.figures()["dashboards"] == 1

    def test_start_of_another_epoch_is_told_as_resync(self, tasks, feed, node):
        start = feed.head([0])
        feed.empty(0)
        node.watch("a", batch=True, start=start)
        tasks.run(0.5)
        assert node.events("a") == [("resync", {"reason": "epoch_changed"})]

    def test_samples_that_cannot_be_rendered_are_told_as_resync_to_who_needs_them_decoded(
        self, tasks, feed, node
    ):
        node.watch("one by one")
        node.watch("batches", batch=True)
        tasks.run(0.2)
        feed.add(0, ["data", "1", "1||x", b"broken"])
        tasks.run(0.3)
        assert node.events("one by one") == [("resync", {"reason": "unreadable"})]
        assert node.sockets.frames["batches"][0].text.startswith("2[")
        assert node.fanout.figures()["dashboards"] == 1
        feed.add(0, data(("x", 2, [["k", 2, 1]])))
        tasks.run(0.3)
        assert samples_of(node.sockets.events("batches", 1)) == [("x", ["k", 2, 1])]

    def test_unreadable_entry_is_told_as_resync_and_passed_over(self, tasks, feed, node):
        node.watch("a", batch=True)
        tasks.run(0.2)
        feed.add(0, ["data", "3", "broken"])
        tasks.run(0.3)
        assert node.events("a") == [("resync", {"reason": "unreadable"})]
        assert feed.given_up == [(0, "epoch-0", 1)], "no cursor from before it is taken again"
        node.watch("a", batch=True)
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        tasks.run(0.5)
        assert samples_of(node.events("a")) == [("x", ["k", 1, 1])]


class TestSlow:
    def fill(self, tasks, feed, first: int, last: int) -> None:
        for number in range(first, last + 1):
            feed.add(0, data((f"x{number % 2}", number, [["k", number, 1], ["m", number, 2]])))
            tasks.run(0.06)

    def test_slow_dashboard_gets_latest_values_flagged_and_then_all_again(self, tasks, feed, node):
        node.watch("slow", batch=True)
        node.watch("fine", batch=True)
        tasks.run(0.2)
        self.fill(tasks, feed, 1, 5)
        node.sockets.backlogs["slow"] = 1100 * 1024
        self.fill(tasks, feed, 6, 10)
        assert node.fanout.figures()["conflated"] == 1
        node.sockets.backlogs["slow"] = 100 * 1024
        tasks.run(0.3)
        self.fill(tasks, feed, 11, 13)
        assert [s[1] for _, s in samples_of(node.events("fine")) if s[0] == "k"] == list(
            range(1, 14)
        )
        flagged = [p for n, p in node.events("slow") if p.get("conflated")]
        assert len(flagged) == 1
        assert sorted(flagged[0]["updates"]) == [
            ["x0", 10, [["k", 10, 1], ["m", 10, 2]]],
            ["x1", 9, [["k", 9, 1], ["m", 9, 2]]],
        ]
        rest = [s[1] for _, s in samples_of(node.events("slow")) if s[0] == "k"]
        assert rest[:5] == [1, 2, 3, 4, 5] and rest[-3:] == [11, 12, 13]
        assert node.fanout.figures()["conflated"] == 0
        assert node.fanout.conflations == 1

    def test_cursor_of_a_slow_dashboard_resumes_what_it_did_not_get(self, tasks, feed, node):
        node.watch("slow", batch=True)
        tasks.run(0.2)
        self.fill(tasks, feed, 1, 2)
        node.sockets.backlogs["slow"] = 1100 * 1024
        self.fill(tasks, feed, 3, 6)
        assert node.fanout.position("slow").offsets == {0: 2}
        cursor = [p["cursor"] for _, p in node.events("slow") if "cursor" in p][-1]
        node.fanout.unsubscribe("slow")
        node.watch("again", batch=True, start=feed.decode_cursor(Scope(), cursor))
        tasks.run(0.5)
        values = [s[1] for _, s in samples_of(node.events("again")) if s[0] == "k"]
        assert values == [3, 4, 5, 6]

    def test_dashboard_that_stays_slow_gets_latest_values_now_and_then(self, tasks, feed, node):
        node.watch("slow", batch=True)
        tasks.run(0.2)
        node.sockets.backlogs["slow"] = 1100 * 1024
        self.fill(tasks, feed, 1, 60)
        flagged = [p for n, p in node.events("slow") if p.get("conflated")]
        assert 2 <= len(flagged) <= 4

    def test_unbatched_slow_dashboard_gets_flagged_latest_samples(self, tasks, feed, node):
        node.watch("slow")
        tasks.run(0.2)
        node.sockets.backlogs["slow"] = 1100 * 1024
        self.fill(tasks, feed, 1, 4)
        node.sockets.backlogs["slow"] = 0
        tasks.run(0.5)
        got = [p for n, p in node.events("slow") if n == "session_data_key_update"]
        assert {(p["session_id"], p["key"], p["value"], p["rev"]) for p in got} == {
            ("x0", "k", 4, 3),
            ("x0", "m", 4, 4),
            ("x1", "k", 3, 2),
            ("x1", "m", 3, 3),
        }
        assert all(p["conflated"] is True for p in got)
        assert node.names("slow")[-1] == "sessions_update"

    def test_conflation_forgets_values_of_removed_sessions(self, tasks, feed, node):
        node.watch("slow", batch=True)
        tasks.run(0.2)
        node.sockets.backlogs["slow"] = 1100 * 1024
        feed.add(0, data(("x", 1, [["k", 1, 1]]), ("y", 1, [["k", 1, 1]])))
        tasks.run(0.1)
        feed.add(0, state("x", 2))
        feed.add(0, ["removed", "x", "project_id", ""])
        tasks.run(0.1)
        node.sockets.backlogs["slow"] = 0
        tasks.run(0.3)
        assert samples_of(node.events("slow")) == [("y", ["k", 1, 1])]
        [(_, update), _] = node.events("slow")
        assert update["removed"] == ["x"] and update["changed"] == []

    def test_conflation_keeps_last_summary_and_last_status(self, tasks, feed, node):
        node.watch("slow", batch=True)
        tasks.run(0.2)
        node.sockets.backlogs["slow"] = 1100 * 1024
        for number, status in enumerate(("queued", "sent", "succeeded"), 1):
            feed.add(0, state("x", number))
            feed.add(0, command("x", "c", status))
        tasks.run(0.2)
        node.sockets.backlogs["slow"] = 0
        tasks.run(0.3)
        names = node.names("slow")
        assert names == ["sessions_update", "command_update", "sessions_update"]
        assert [one["rev"] for one in node.events("slow")[0][1]["changed"]] == [3]
        assert node.events("slow")[1][1]["status"] == "succeeded"

    def test_hopeless_dashboard_is_told_and_closed_and_nobody_else_notices(self, tasks, feed, node):
        node.watch("dead", batch=True)
        node.watch("fine", batch=True)
        tasks.run(0.2)
        node.sockets.backlogs["dead"] = 4 * 1024 * 1024 + 1
        self.fill(tasks, feed, 1, 3)
        assert node.sockets.closed == {"dead": "slow_client"}
        name, payload = node.events("dead")[-1]
        assert (name, payload["code"]) == ("service_error", "slow_client")
        assert len(samples_of(node.events("fine"))) == 6
        assert node.fanout.figures()["dashboards"] == 1
        node.fanout.unsubscribe("dead")  # what the disconnect does

    def test_what_is_kept_for_a_slow_dashboard_is_bounded(self, tasks, feed, node):
        node.watch("slow", batch=True)
        tasks.run(0.2)
        node.sockets.backlogs["slow"] = 1100 * 1024
        value = "x" * 60_000
        number = 0
        while "slow" not in node.sockets.closed:
            number += 1
            assert number < 400
            feed.add(0, data((f"x{number}", 1, [["k", value, 1]])))
            tasks.run(0.05)
            node.sockets.frames.pop("slow", None)
        assert node.sockets.closed == {"slow": "slow_client"}

    def test_slow_catch_up_is_paced_then_conflated(self, tasks, feed, node):
        start = feed.head([0])
        for number in range(1, 31):
            feed.add(0, data(("x", number, [["k", number, 1]])))
        node.watch("late", batch=True, start=start)
        node.sockets.backlogs["late"] = 300 * 1024
        tasks.run(2)
        assert node.events("late") == []
        tasks.run(3)
        assert node.fanout.figures()["conflated"] == 1
        node.sockets.backlogs["late"] = 0
        tasks.run(0.5)
        assert samples_of(node.events("late")) == [("x", ["k", 30, 1])]
        feed.add(0, data(("x", 31, [["k", 31, 1]])))
        tasks.run(0.5)
        assert [s[1] for _, s in samples_of(node.events("late"))] == [30, 31]
