"""Who is sent what, and when: scopes, batches, summaries, joining."""

from __future__ import annotations

from service.live.feed.scope import Scope
from tests.support.nodes.live_fakes import (
    FakeFeed,
    Node,
    command,
    data,
    samples_of,
    state,
)


def test_subscribe_batch_gets_spliced_samples_with_a_cursor(tasks, feed, node):
    node.watch("a", batch=True)
    tasks.run(0.2)
    feed.add(0, data(("x", 2, [["k", 1, 5], ["k", 2, 6]]), ("y|z", 9, [["q", {"a": [1]}, 7]])))
    tasks.run(0.2)
    [(name, payload)] = node.events("a")
    assert name == "session_data_updates"
    assert payload["updates"] == [
        ["x", 2, [["k", 1, 5], ["k", 2, 6]]],
        ["y|z", 9, [["q", {"a": [1]}, 7]]],
    ]
    assert feed.decode_cursor(Scope(), payload["cursor"]).offsets == {0: 1}
    assert "conflated" not in payload


def test_subscribe_unbatched_gets_each_sample_with_its_own_rev(tasks, feed, node):
    node.watch("a")
    feed.add(0, data(("x", 12, [["k", 1, 5], ["m", None, 6]])))
    tasks.run(0.2)
    assert node.events("a") == [
        (
            "session_data_key_update",
            {"device_id": "x", "session_id": "x", "key": key, "value": value, "ts": ts, "rev": rev},
        )
        for key, value, ts, rev in (("k", 1, 5, 11), ("m", None, 6, 12))
    ]


def test_equal_subscriptions_share_one_frame(tasks, feed, node):
    for number in range(100):
        node.watch(f"s{number}", batch=True)
    tasks.run(0.2)
    feed.add(0, data(("x", 1, [["k", 1, 5]])))
    tasks.run(0.2)
    assert {len(frames) for frames in node.sockets.frames.values()} == {1}
    assert len({id(frames[0]) for frames in node.sockets.frames.values()}) == 1


def test_batch_road_never_decodes_samples(tasks, feed, node):
    node.watch("a", batch=True)
    tasks.run(0.1)
    feed.add(0, ["data", "1", "1||x", b'[["k",not json,1]]'])
    tasks.run(0.2)
    assert b'["x",1,[["k",not json,1]]]' in node.sockets.frames["a"][0].text.encode()


def test_frames_arrive_at_most_once_per_interval(tasks, feed, node):
    node.watch("a", batch=True, interval_ms=500)
    tasks.run(0.1)
    for number in range(1, 101):
        feed.add(0, data(("x", number, [["k", number, 1]])))
        tasks.run(0.02)
    tasks.run(1)
    assert 4 <= len(node.events("a")) <= 6
    assert [sample[1] for _, sample in samples_of(node.events("a"))] == list(range(1, 101))


def test_crowd_is_told_less_often_and_of_everything(tasks, feed, node):
    """Sixty dashboards cost a node no more than a few do with a short interval."""
    feed.page = 100
    names = [f"d{number}" for number in range(60)]
    for name in names:
        node.watch(name, batch=True)
    tasks.run(0.1)
    for number in range(1, 101):
        feed.add(0, data(("x", number, [["k", number, 1]])))
        tasks.run(0.01)
    tasks.run(1)
    assert feed.finds <= 14
    for name in names:
        assert 8 <= len(node.events(name)) <= 13
        assert [sample[1] for _, sample in samples_of(node.events(name))] == list(range(1, 101))


def test_large_entry_is_never_torn_between_two_cursors(tasks, feed, node):
    node.watch("a", batch=True)
    tasks.run(0.1)
    text = "x" * 60_000
    for number in range(1, 4):
        feed.add(0, data(*((f"s{n}", number, [["k", text, number]]) for n in range(5))))
    tasks.run(0.5)
    sizes = [len(payload["updates"]) for _, payload in node.events("a")]
    cursors = [feed.decode_cursor(Scope(), p["cursor"]).offsets[0] for _, p in node.events("a")]
    assert (sizes, cursors) == ([5, 5, 5], [1, 2, 3])


class TestScopes:
    def test_sessions_scope_gets_only_its_sessions(self, tasks, feed, node):
        node.watch("a", Scope.sessions(["x"]), batch=True)
        tasks.run(0.1)
        feed.add(0, data(("x", 1, [["k", 1, 1]]), ("y", 1, [["k", 2, 1]])))
        feed.add(0, state("y", 2))
        feed.add(0, command("y", "c", "queued"))
        feed.add(0, ["removed", "y", "project_id", ""])
        feed.add(0, state("x", 2))
        tasks.run(0.3)
        assert samples_of(node.events("a")) == [("x", ["k", 1, 1])]
        changed = [
            one for n, p in node.events("a") if n == "sessions_update" for one in p["changed"]
        ]
        assert [one["session_id"] for one in changed] == ["x"]
        assert "command_update" not in node.names("a")

    def test_project_scope_goes_by_the_project_of_each_entry(self, tasks, feed, node):
        node.watch("a", Scope.project("p|%q"), batch=True)
        tasks.run(0.1)
        feed.add(0, data(("x", 1, [["k", 1, 1]]), project="p|%q"))
        feed.add(0, data(("x", 2, [["k", 2, 1]]), project="other"))
        feed.add(0, data(("x", 3, [["k", 3, 1]])))
        tasks.run(0.3)
        assert samples_of(node.events("a")) == [("x", ["k", 1, 1])]

    def test_project_change_takes_the_session_out_of_the_old_project(self, tasks, feed, node):
        node.watch("old", Scope.project("p"))
        node.watch("new", Scope.project("q"))
        node.watch("both")
        tasks.run(0.1)
        feed.add(0, state("x", 1, "q", previous="p"))
        tasks.run(0.3)
        [(_, old)], [(_, new)], [(_, both)] = (node.events(s) for s in ("old", "new", "both"))
        assert (old["removed"], old["changed"]) == (["x"], [])
        assert [one["project_id"] for one in new["changed"]] == ["q"]
        assert both["removed"] == [] and len(both["changed"]) == 1

    def test_watched_partitions_are_those_of_the_scope(self, tasks):
        feed = FakeFeed(tasks, partitions=8)
        node = Node(tasks, feed)
        node.watch("a", Scope.sessions(["x"]))
        tasks.run(0.3)
        assert [reader.partition for reader in node.fanout._readers] == [feed.keys.partition("x")]
        node.watch("b")
        tasks.run(0.3)
        assert len(list(node.fanout._readers)) == 8


class TestSessionsUpdate:
    def test_several_states_in_an_interval_become_the_last(self, tasks, feed, node):
        node.watch("a", interval_ms=500)
        tasks.run(0.1)
        feed.add(0, state("y", 1))
        tasks.run(0.1)
        feed.add(0, state("x", 1))
        feed.add(0, state("x", 2))
        feed.add(0, state("y", 2))
        tasks.run(1)
        _, payload = node.events("a")[-1]
        assert [(one["session_id"], one["rev"]) for one in payload["changed"]] == [
            ("x", 2),
            ("y", 2),
        ]

    def test_state_comes_before_the_data_that_follows_it_and_after_what_precedes(
        self, tasks, feed, node
    ):
        node.watch("a", batch=True)
        tasks.run(0.1)
        feed.page = 100
        feed.add(0, data(("x", 1, [["k", 1, 1]]), ("y", 1, [["k", 1, 1]])))
        feed.add(0, state("x", 2))
        feed.add(0, state("z", 1))
        feed.add(0, data(("z", 2, [["k", 2, 1]])))
        feed.add(0, state("z", 3))
        tasks.run(0.3)
        assert node.names("a") == [
            *("session_data_updates", "sessions_update", "session_data_updates"),
            "sessions_update",
        ]
        assert [one["session_id"] for one in node.events("a")[1][1]["changed"]] == ["x", "z"]

    def test_only_the_last_frame_of_a_segment_moves_the_cursor(self, tasks, feed, node):
        node.watch("a", batch=True)
        tasks.run(0.1)
        feed.add(0, command("x", "c", "queued"))
        feed.add(0, state("x", 1))
        feed.add(0, data(("x", 2, [["k", 1, 1]])))
        tasks.run(0.3)
        (name, _), (_, first), (_, last) = node.events("a")
        assert name == "command_update"
        assert feed.decode_cursor(Scope(), first["cursor"]).offsets == {0: 0}
        assert feed.decode_cursor(Scope(), last["cursor"]).offsets == {0: 3}

    def test_step_of_a_command_and_its_summary_go_out_together(self, tasks, feed, node):
        node.watch("a")
        tasks.run(0.1)
        feed.add(0, command("x", "c", "queued"))
        feed.add(0, state("x", 1))
        tasks.run(0.3)
        (name, _), (other, summary) = node.events("a")
        assert (name, other) == ("command_update", "sessions_update")
        assert feed.decode_cursor(Scope(), summary["cursor"]).offsets == {0: 2}

    def test_summary_before_a_command_of_its_session_comes_first(self, tasks, feed, node):
        node.watch("a")
        tasks.run(0.1)
        feed.add(0, state("x", 1))
        feed.add(0, command("x", "c", "sent"))
        tasks.run(0.3)
        names = [name for name, _ in node.events("a")]
        assert names == ["sessions_update", "command_update", "sessions_update"]

    def test_removed_then_made_again_is_told_as_both(self, tasks, feed, node):
        node.watch("a")
        tasks.run(0.1)
        feed.add(0, ["removed", "x", "project_id", ""])
        feed.add(0, state("x", 1))
        tasks.run(0.3)
        [(_, payload)] = node.events("a")
        assert payload["removed"] == ["x"] and payload["changed"][0]["session_id"] == "x"

    def test_commands_come_in_order_and_a_cursor_follows(self, tasks, feed, node):
        node.watch("a")
        tasks.run(0.1)
        for status in ("queued", "sent", "succeeded"):
            feed.add(0, command("x", "c1", status))
        tasks.run(0.3)
        statuses = [p["status"] for n, p in node.events("a") if n == "command_update"]
        assert statuses == ["queued", "sent", "succeeded"]
        name, payload = node.events("a")[-1]
        assert name == "sessions_update"
        assert feed.decode_cursor(Scope(), payload["cursor"]).offsets == {0: 3}

    def test_command_update_carries_result_as_it_was_stored(self, tasks, feed, node):
        node.watch("a")
        tasks.run(0.1)
        entry = command("x", "c1", "succeeded")
        entry[entry.index("result") + 1] = '{"up":[1,2.50]}'
        feed.add(0, entry)
        tasks.run(0.3)
        assert node.events("a")[0] == (
            "command_update",
            {
                "session_id": "x",
                "command_id": "c1",
                "command": "reboot",
                "status": "succeeded",
                "result": {"up": [1, 2.5]},
                "at": 1.5,
            },
        )

    def test_counts_are_asked_once_per_interval_with_states_and_never_for_data(
        self, tasks, feed, node
    ):
        node.watch("a", batch=True)
        tasks.run(1)
        asked = len(node.counts.asked)
        assert asked <= 1  # at the beginning
        for number in range(1, 40):
            feed.add(0, data(("x", number, [["k", 1, 1]])))
            tasks.run(0.01)
        tasks.run(0.2)
        assert len(node.counts.asked) == asked
        feed.page = 100
        for number in range(40, 60):
            feed.add(0, state("x", number))
        node.counts.now = {"active": 7, "inactive": 1, "archived": 0}
        tasks.run(0.2)
        assert len(node.counts.asked) == asked + 1
        assert node.events("a")[-1][1]["counts"] == {"active": 7, "inactive": 1, "archived": 0}

    def test_counts_that_cannot_be_had_do_not_hold_up_the_changes(self, tasks, feed, node):
        node.counts.is_away = True
        node.watch("a")
        tasks.run(0.1)
        feed.add(0, state("x", 1))
        tasks.run(0.3)
        assert node.events("a")[0][1]["changed"][0]["session_id"] == "x"

    def test_quiet_fleet_gets_a_cursor_every_few_seconds(self, tasks, feed, node):
        node.watch("a", batch=True)
        node.watch("b", Scope.sessions(["nobody"]))
        tasks.run(0.5)
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        tasks.run(29.5)
        for sid, scope in (("a", Scope()), ("b", Scope.sessions(["nobody"]))):
            cursors = [p["cursor"] for n, p in node.events(sid) if n == "sessions_update"]
            assert 3 <= len(cursors) <= 6
            assert feed.decode_cursor(scope, cursors[-1]).offsets == {0: 1}


class TestJoining:
    def test_stale_start_catches_up_before_it_joins(self, tasks, feed, node):
        start = feed.head([0])
        for number in range(1, 21):
            feed.add(0, data(("x", number, [["k", number, 1]])))
        node.watch("live", batch=True)
        tasks.run(0.3)
        node.watch("late", batch=True, start=start)
        tasks.run(0.3)
        feed.add(0, data(("x", 21, [["k", 21, 1]])))
        tasks.run(0.3)
        assert [s[1] for _, s in samples_of(node.events("late"))] == list(range(1, 22))
        assert [s[1] for _, s in samples_of(node.events("live"))] == [21]

    def test_start_ahead_of_the_group_waits_for_its_flush(self, tasks, feed, node):
        node.watch("slowly", batch=True, interval_ms=2000)
        tasks.run(0.2)
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        tasks.run(0.2)
        feed.add(0, data(("x", 2, [["k", 2, 1]])))
        tasks.run(0.2)
        node.watch("late", batch=True, interval_ms=2000)  # stands at 2, the group at 1
        tasks.run(4)
        feed.add(0, data(("x", 3, [["k", 3, 1]])))
        tasks.run(4)
        assert [s[1] for _, s in samples_of(node.events("slowly"))] == [1, 2, 3]
        assert [s[1] for _, s in samples_of(node.events("late"))] == [3]

    def test_subscribe_sends_nothing_before_the_caller_waits(self, tasks, feed, node):
        start = feed.head([0])
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        node.watch("a", batch=True, start=start)
        assert node.events("a") == []

    def test_subscribe_again_takes_the_place_of_the_first(self, tasks, feed, node):
        node.watch("a", batch=True)
        tasks.run(0.1)
        node.watch("a", Scope.sessions(["x"]), batch=True)
        tasks.run(0.1)
        feed.add(0, data(("x", 1, [["k", 1, 1]]), ("y", 1, [["k", 2, 1]])))
        tasks.run(0.3)
        assert samples_of(node.events("a")) == [("x", ["k", 1, 1])]
        assert node.fanout.figures()["subscriptions"] == 1

    def test_reader_ends_when_nobody_watches(self, tasks, feed, node):
        node.watch("a")
        tasks.run(0.4)
        assert tasks.count == 2  # the reader, and what looks at it
        node.fanout.unsubscribe("a")
        node.fanout.unsubscribe("a")
        tasks.run(1)
        assert tasks.count == 0
        assert node.fanout.position("a") is None
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        node.watch("b", batch=True, start=None)
        feed.add(0, data(("x", 2, [["k", 2, 1]])))
        tasks.run(1)
        assert [s[1] for _, s in samples_of(node.events("b"))] == [2]

    def test_position_says_what_was_sent(self, tasks, feed, node):
        node.watch("a", batch=True)
        tasks.run(0.2)
        feed.add(0, data(("x", 1, [["k", 1, 1]])))
        assert node.fanout.position("a").offsets == {0: 0}
        tasks.run(0.2)
        assert node.fanout.position("a").offsets == {0: 1}


def test_lag_is_what_the_last_read_left_over_and_since_when(tasks, feed, node):
    """Three entries fit into a read: with ten the reader is behind until the fourth."""
    node.watch("a", batch=True)
    tasks.run(0.3)
    assert (node.fanout.lag_entries, node.fanout.lag_s) == (0, 0)
    seen = []
    flush = node.fanout._flusher.flush
    node.fanout._flusher.flush = lambda groups: (
        seen.append(node.fanout.lag_entries),
        flush(groups),
    )[1]
    for number in range(1, 11):
        feed.add(0, data(("x", number, [["k", number, number]])))
    tasks.run(0.3)
    assert seen[:4] == [7, 4, 1, 0]
    assert node.fanout.lag_s == 0


def test_lag_of_a_reader_without_redis_grows(tasks, feed, node):
    node.watch("a", batch=True)
    tasks.run(0.3)
    feed.is_away = True
    tasks.run(5)
    assert 5 <= node.fanout.lag_s <= 5.5
    feed.is_away = False
    tasks.run(2)
    assert node.fanout.lag_s == 0
