"""Frames, the bounded queue of a client, unmasking and the index of rooms."""

from __future__ import annotations

import json
import queue
import threading

import pytest
import socketio
from hypothesis import given
from hypothesis import strategies as st

from service.transport.backlog import BURST_BYTES, PACKET_BYTES, Backlog
from service.transport.connection import Frame, ack_frame, event_frame
from service.transport.upstream.room_index import RoomIndex

# --- frames


@given(st.text(), st.dictionaries(st.text(), st.text()), st.none() | st.integers(0, 2**53))
def test_event_frame_is_what_python_socketio_reads(
    event: str, payload: dict[str, str], number: int | None
) -> None:
    frame = event_frame(event, json.dumps(payload).encode(), number)
    packet = socketio.packet.Packet(encoded_packet=frame.text)
    assert (packet.packet_type, packet.id, packet.data) == (2, number, [event, payload])
    assert frame.size == len(frame.text.encode())


@given(st.integers(0, 2**53), st.text())
def test_ack_frame_is_what_python_socketio_reads(number: int, payload: str) -> None:
    frame = ack_frame(number, json.dumps(payload, ensure_ascii=False).encode())
    packet = socketio.packet.Packet(encoded_packet=frame.text)
    assert (packet.packet_type, packet.id, packet.data) == (3, number, [payload])
    assert frame.size == len(frame.text.encode())


def test_frame_size_is_bytes_and_not_characters() -> None:
    assert Frame("2[ü]".encode()).size == 5


# --- the queue of one client


class Packet:
    def __init__(self, size: int, urgent: bool = False) -> None:
        self.size = size
        self.urgent = urgent


def make_backlog(max_bytes: int = 10_000_000) -> Backlog:
    return Backlog(
        max_bytes,
        threading.Event,
        queue.Empty,
        is_urgent=lambda packet: packet.urgent,
        size_of=lambda packet: packet.size,
    )


def take_burst(backlog: Backlog) -> list[object]:
    """What a writer takes at a time; None is the end."""
    taken = [backlog.get(timeout=0)]
    while taken[-1] is not None:
        try:
            taken.append(backlog.get(block=False))
        except queue.Empty:
            break
    return taken


def test_backlog_gives_packets_in_order() -> None:
    backlog = make_backlog()
    sent = [Packet(1) for _ in range(5)]
    for packet in sent:
        backlog.put(packet)
    assert take_burst(backlog) == sent


def test_backlog_gives_the_writer_one_burst_at_a_time() -> None:
    """The writer never holds much more than a burst, so what waits can be dropped."""
    backlog = make_backlog()
    for _ in range(10):
        backlog.put(Packet(BURST_BYTES // 4))
    assert len(take_burst(backlog)) == 4
    assert len(take_burst(backlog)) == 4
    assert len(take_burst(backlog)) == 2


def test_backlog_counts_the_burst_until_the_writer_comes_back() -> None:
    """A burst that a blocked socket does not take has not left the process."""
    backlog = make_backlog()
    backlog.put(Packet(1000))
    full = backlog.waiting_bytes
    assert full == 1000 + PACKET_BYTES
    backlog.get()
    assert backlog.waiting_bytes == full
    with pytest.raises(queue.Empty):
        backlog.get(timeout=0)
    assert backlog.waiting_bytes == 0


def test_backlog_over_its_bound_drops_all_and_says_so_once() -> None:
    backlog = make_backlog(5000)
    told: list[int] = []
    backlog.on_overflow = lambda: told.append(backlog.waiting_bytes)
    for _ in range(10):
        backlog.put(Packet(1000))
    assert told == [0]
    last = Packet(50_000)
    backlog.finish([last], drop=True)
    backlog.put(Packet(1))
    assert take_burst(backlog) == [last, None]


def test_backlog_takes_one_packet_of_any_size_when_nothing_waits() -> None:
    """A large answer to a client that reads is no slow client."""
    backlog = make_backlog(5000)
    backlog.put(Packet(50_000))
    assert not backlog.finished
    backlog.put(Packet(1))
    assert backlog.finished


def test_backlog_finish_without_drop_sends_what_waits_first() -> None:
    backlog = make_backlog()
    first, last = Packet(1), Packet(1)
    backlog.put(first)
    backlog.finish([last], drop=False)
    backlog.put(Packet(1))
    assert take_burst(backlog) == [first, last, None]


def test_backlog_end_is_for_everybody_who_asks() -> None:
    """Two polls that wait both hear of it."""
    backlog = make_backlog()
    backlog.put(None)
    backlog.put(None)
    assert take_burst(backlog) == [None]
    assert take_burst(backlog) == [None]


def test_backlog_sends_pings_first() -> None:
    """A client with much to read must still see its ping in time."""
    backlog = make_backlog()
    data, ping = Packet(1), Packet(1, urgent=True)
    backlog.put(data)
    backlog.put(ping)
    assert take_burst(backlog) == [ping, data]


def test_backlog_get_waits_for_a_packet() -> None:
    backlog = make_backlog()
    packet = Packet(1)
    timer = threading.Timer(0.05, backlog.put, [packet])
    timer.start()
    assert backlog.get(timeout=5) is packet
    timer.join()


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200_000)), max_size=60))
def test_backlog_never_counts_wrong(steps: list[tuple[bool, int]]) -> None:
    """Whatever is put and taken, the count is what is there and never above the bound by two packets."""
    backlog = make_backlog(400_000)
    for is_put, size in steps:
        if is_put:
            backlog.put(Packet(size))
        else:
            try:
                take_burst(backlog)
            except queue.Empty:
                assert backlog.waiting_bytes == 0
        there = sum(size for _, size in backlog._packets) + backlog._taken
        assert backlog.waiting_bytes == there <= 400_000 + 2 * (200_000 + PACKET_BYTES)


# --- rooms


def make_manager() -> socketio.Manager:
    manager = socketio.Server(async_mode="threading").manager
    RoomIndex(manager)
    return manager


def test_room_index_disconnect_leaves_nothing_behind() -> None:
    """Rooms, callbacks and pending marks of a sid go; those of others stay."""
    manager = make_manager()
    first, second = manager.connect("e1", "/"), manager.connect("e2", "/")
    for sid in (first, second):
        manager.enter_room(sid, "/", "both")
    manager.enter_room(first, "/", "alone")
    manager._generate_ack_id(first, print)
    assert sorted(manager.get_rooms(first, "/")) == sorted([first, "both", "alone"])
    manager.pre_disconnect(first, "/")
    manager.disconnect(first, "/")
    assert manager.get_rooms(first, "/") == []
    assert [sid for sid, _ in manager.get_participants("/", "both")] == [second]
    assert "alone" not in manager.rooms["/"]
    assert manager.callbacks == {}
    assert manager.pending_disconnect == {}
    manager.disconnect(second, "/")
    assert manager.rooms == {}


def test_room_index_follows_leave_and_close() -> None:
    manager = make_manager()
    sid = manager.connect("e1", "/")
    manager.enter_room(sid, "/", "a")
    manager.enter_room(sid, "/", "b")
    manager.leave_room(sid, "/", "a")
    manager.close_room("b", "/")
    assert manager.get_rooms(sid, "/") == [sid]
    assert manager.is_connected(sid, "/")
