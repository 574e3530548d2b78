"""The scheduler of simulations: the seed decides the order, and processes stop as a whole."""

from __future__ import annotations

from chaos.simulation.report import again
from chaos.simulation.scheduler import Process, Scheduler


def order_of(seed: int) -> tuple[list[str], int]:
    """Ten tasks that wait three times each, and who went on when."""
    scheduler, process, seen = Scheduler(seed), Process("one"), list[str]()

    def walk(name: str) -> None:
        for _ in range(3):
            scheduler.sleep(0.1)
            seen.append(name)

    for number in range(10):
        scheduler.spawn(process, walk, str(number))
    scheduler.run_until(lambda: len(seen) == 30)
    scheduler.end()
    return seen, scheduler.order


def test_seed_decides_the_order() -> None:
    assert order_of(1) == order_of(1)
    assert order_of(1)[0] != order_of(2)[0]
    assert order_of(1)[1] != order_of(2)[1]


def test_paused_process_stands_still_and_goes_on_where_it_was() -> None:
    scheduler, node, other, seen = Scheduler(1), Process("node"), Process("other"), list[float]()

    def beat() -> None:
        while True:
            scheduler.sleep(1.0)
            seen.append(scheduler.now)

    def pause() -> None:
        scheduler.sleep(2.5)
        scheduler.pause(node)
        scheduler.sleep(10)
        scheduler.resume(node)

    began = scheduler.now
    scheduler.spawn(node, beat)
    scheduler.spawn(other, pause)
    scheduler.run_until(lambda: len(seen) == 4)
    scheduler.end()
    assert [round(at - began) for at in seen[:2]] == [1, 2]
    assert seen[2] - began > 12.4
    assert seen[3] - seen[2] > 0.9


def test_killed_process_does_nothing_more_not_even_in_its_finally() -> None:
    scheduler, node, other, seen = Scheduler(1), Process("node"), Process("other"), list[str]()

    def work() -> None:
        try:
            scheduler.sleep(5)
        finally:
            seen.append("put right")

    def kill() -> None:
        scheduler.sleep(1)
        scheduler.kill(node)
        scheduler.sleep(60)
        seen.append("over")

    scheduler.spawn(node, work)
    scheduler.spawn(other, kill)
    scheduler.run_until(lambda: "over" in seen)
    assert seen == ["over"]
    scheduler.end()


def test_event_wakes_who_waits_and_time_ends_a_wait() -> None:
    scheduler, process, seen = Scheduler(1), Process("one"), list[tuple[str, bool]]()
    event = scheduler.event()

    def wait(name: str, timeout: float | None) -> None:
        seen.append((name, event.wait(timeout)))

    def set_later() -> None:
        scheduler.sleep(2)
        event.set()

    scheduler.spawn(process, wait, "patient", None)
    scheduler.spawn(process, wait, "hasty", 1.0)
    scheduler.spawn(process, set_later)
    scheduler.run_until(lambda: len(seen) == 2)
    scheduler.end()
    assert seen == [("hasty", False), ("patient", True)]


def test_who_waits_for_a_lock_lets_its_holder_go_on() -> None:
    scheduler, process, seen = Scheduler(1), Process("one"), list[str]()
    lock = scheduler.lock()

    def work(name: str) -> None:
        with lock:
            seen.append(f"{name} begins")
            scheduler.sleep(1)
            seen.append(f"{name} ends")

    for name in ("one", "two", "three"):
        scheduler.spawn(process, work, name)
    scheduler.run_until(lambda: len(seen) == 6)
    scheduler.end()
    assert [seen[i].split()[0] for i in (0, 2, 4)] == [seen[i].split()[0] for i in (1, 3, 5)]
    assert not lock.locked()


def test_report_names_the_command_that_repeats_a_seed() -> None:
    given = ["--seed", "1", "--seeds=1000", "--seconds", "5", "--faults", "busy"]
    command = "python -m chaos.simulation --seed 42 --seconds 5 --faults busy"
    assert again(42, given) == command
