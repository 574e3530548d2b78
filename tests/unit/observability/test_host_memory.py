"""When a node's machine has too little memory for more clients."""

from __future__ import annotations

from service.observability.host_memory import HostMemory


class Machine:
    """Memory and time as a test sets them."""

    def __init__(self) -> None:
        self.percent = 50.0
        self.now = 0.0
        self.looks = 0

    def read(self) -> float:
        self.looks += 1
        return self.percent

    def memory(self, min_available_percent: float) -> HostMemory:
        return HostMemory(min_available_percent, self.read, lambda: self.now)


def test_memory_is_critical_below_half_of_the_setting() -> None:
    machine = Machine()
    memory = machine.memory(10)
    for percent, critical in ((50, False), (5, False), (4.94, True), (6, False)):
        machine.percent = percent
        machine.now += 1
        assert memory.is_critical is critical


def test_memory_is_looked_at_twice_a_second_however_often_it_is_asked() -> None:
    machine = Machine()
    memory = machine.memory(10)
    for _ in range(100):
        assert not memory.is_critical
        machine.now += 0.01
    assert machine.looks == 2


def test_memory_setting_zero_never_looks() -> None:
    machine = Machine()
    machine.percent = 0.0
    assert not machine.memory(0).is_critical
    assert machine.looks == 0


def test_memory_that_is_shown_is_what_was_read_a_moment_ago() -> None:
    """And is read though the setting is 0."""
    machine = Machine()
    for memory in (machine.memory(10), machine.memory(0)):
        machine.looks = 0
        machine.now += 1
        assert not memory.is_critical
        assert (memory.read(), memory.read(), machine.looks) == (50.0, 50.0, 1)
