"""A process of its own that tests of the archive stop, kill, and put on a full disk.

python -m tests.support.archive.archive_child stop <root> <action> <step> <nth>   acts, and waits at the nth `step`
python -m tests.support.archive.archive_child full <root> [<longest file>]        acts on a disk with 1 MB
python -m tests.support.archive.archive_child green <root> <async mode>           acts beside greenlets
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock  # the native one: this stands before anything is patched
from pathlib import Path


def stop(root: Path, action: str, step: str, nth: int) -> None:
    """Does what `action` names; at the nth `step` says so and waits for a line."""
    from service.archive.file_store import FileArchiveStore
    from tests.support.archive.archive_files import make_file

    seen = 0

    def wait_at(name: str) -> None:
        nonlocal seen
        seen += name == step
        if name == step and seen == nth:
            print(f"at {name}", flush=True)
            sys.stdin.readline()

    store = FileArchiveStore(root, step=wait_at, share_sync=action.startswith("shared"))
    if action == "claim":
        print(store.claim(), flush=True)
        return
    store.open(FileArchiveStore(root).claim())
    if action in ("put", "shared_put"):
        store.put([make_file(f"device-{n}", rev=2) for n in range(10)])
    elif action in ("delete", "shared_delete"):
        store.delete([make_file(f"device-{n}", rev=1)[0] for n in range(10)])
    elif action == "quarantine":
        store.quarantine(make_file("device-0", rev=1)[0], "why")
    elif action == "unquarantine":
        store.unquarantine(store.quarantined()[0].item)
    print("done", flush=True)


def full(root: Path, longest: int | None) -> None:
    """Fills the disk by one file, then by a batch; what was there stays whole."""
    from service.archive.errors import ArchiveUnavailable
    from tests.support.archive.archive_files import make_file, open_store

    if longest is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (longest, longest))
    for share_sync in (True, False):
        store = open_store(root, share_sync=share_sync)
        old, data = make_file("device-0")
        store.put([(old, data)])
        before = store.list()
        large = os.urandom(200_000)
        for batch in (
            [(old, os.urandom(2_000_000))],
            [(make_file(f"device-{n}", rev=2)[0], large) for n in range(10)],
        ):
            try:
                store.put(batch)
            except ArchiveUnavailable as exc:
                print(f"refused: {exc.message}")
            else:
                raise AssertionError("the disk was not full")
            assert store.get(old) == data
            assert store.list() == before
            assert os.listdir(root / "tmp") == []
        store.put([make_file(f"device-{n}", rev=3) for n in range(10)])
        store.delete([make_file(f"device-{n}", rev=3)[0] for n in range(10)])
    print("done", flush=True)


def green(root: Path, async_mode: str) -> None:
    """A disk that hangs until a greenlet frees it: whoever blocks the greenlets waits for ever."""
    if async_mode == "eventlet":
        import eventlet

        eventlet.monkey_patch()
    else:
        from gevent import monkey

        monkey.patch_all()
    import threading  # a green one now

    from service.archive.errors import ArchiveUnavailable
    from service.archive.file_store import FileArchiveStore
    from service.archive.threads import ThreadedArchiveStore, native_calls
    from tests.support.archive.archive_files import make_file

    hangs = allocate_lock()
    hangs.acquire()

    def hang(step: str) -> None:
        if step == "opened":
            assert hangs.acquire(timeout=60), "no greenlet ran"
            hangs.release()

    calls = native_calls(async_mode)
    store = ThreadedArchiveStore(FileArchiveStore(root, step=hang), calls)
    store.open(store.claim())
    files = [make_file(f"device-{n}") for n in range(50)]
    store.put(files)
    answers: list[object] = []
    readers = [
        threading.Thread(target=lambda name=name: answers.append(store.get(name)))
        for name, _ in files
    ]
    for reader in readers:
        reader.start()
    freer = threading.Thread(target=hangs.release)
    freer.start()
    for task in [*readers, freer]:
        task.join(60)
    assert sorted(answers) == sorted(data for _, data in files), len(answers)  # type: ignore[type-var]
    assert store.find("device-3") == [files[3][0]]
    assert store.list() == sorted(name for name, _ in files)
    item = store.quarantine(files[0][0], "why")
    assert item
    assert [one.item for one in store.quarantined()] == [item]
    assert store.read_quarantined(item) == files[0][1]
    assert store.unquarantine(item) == files[0][0]
    assert store.delete([files[0][0]]) == 1
    assert store.collect_litter(0) == 0
    try:
        store.open("another")
    except ArchiveUnavailable as exc:
        print(f"refused: {exc.message}")
    print("done", flush=True)


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    if command == "stop":
        stop(Path(folder), rest[0], rest[1], int(rest[2]))
    elif command == "full":
        full(Path(folder), int(rest[0]) if rest else None)
    else:
        green(Path(folder), rest[0])
