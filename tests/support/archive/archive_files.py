"""What tests of the archive share: records, a store that is open, many that act at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.archive.file_store import FileArchiveStore
from service.archive.record import Record, encode


def make_record(session_id: str = "pump-7", rev: int = 1, generation: int = 5) -> Record:
    """A small record whose body tells what it is of."""
    body = {"data": {"speed": [[rev + 0.5, 1763600000.25]]}, "of": session_id}
    return Record(session_id, generation, rev, 1_763_600_500_000, {"rev": str(rev)}, body)


def make_file(session_id: str = "pump-7", rev: int = 1, generation: int = 5) -> tuple[str, bytes]:
    """Name and content of such a record, as `ArchiveStore.put` takes them."""
    record = make_record(session_id, rev, generation)
    return record.name, encode(record)


def open_store(
    root: Path, step: Callable[[str], None] = lambda _name: None, **options: Any
) -> FileArchiveStore:
    """A file store on this root, which is claimed when it is new."""
    store = FileArchiveStore(root, step=step, **options)
    store.open(store.claim())
    return store


def contents(root: Path) -> list[str]:
    """All paths below the root, sorted."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def uses(store: FileArchiveStore) -> dict[str, Callable[[], object]]:
    """Every method that works on an open store, as calls."""
    name, data = make_file("device-0")
    return {
        "put": lambda: store.put([(name, data)]),
        "put_many": lambda: store.put([make_file(f"device-{n}") for n in range(20)]),
        "get": lambda: store.get(name),
        "delete": lambda: store.delete([name]),
        "find": lambda: store.find("device-0"),
        "list": lambda: store.list(),
        "quarantine": lambda: store.quarantine(name, "why"),
        "quarantined": lambda: store.quarantined(),
        "read_quarantined": lambda: store.read_quarantined("0" * 12),
        "get_quarantined_piece": lambda: store.get_quarantined_piece("0" * 12, 0, 1),
        "unquarantine": lambda: store.unquarantine("0" * 12),
        "collect_litter": lambda: store.collect_litter(0),
    }


def in_threads(count: int, function: Callable[[int], object]) -> list[object]:
    """Answers of `function(0)` … `function(count - 1)`, all begun at once."""
    answers: list[object] = [None] * count
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        barrier.wait(60)
        try:
            answers[number] = function(number)
        except Exception as exc:  # told as the answer
            answers[number] = exc

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers
