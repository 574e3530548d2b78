"""The disk of the archive is full, read-only, broken or slow for a while; a file on it is damaged."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from pathlib import Path
from typing import Any

from chaos.faults.fault import Fault
from chaos.journal import Damaged
from chaos.socket import Socket, SocketLost
from chaos.system import System, http
from service.archive.names import stem_of

#: What nodes and workers say of a disk that fails, and of a file of this fault's own sessions.
DISK_FULL = ("No space left on device",)
DISK_READ_ONLY = ("Read-only file system",)
DISK_BROKEN = ("Input/output error",)
DAMAGE = (r"damaged-\d+",)


async def _for_a_while(system: System, chance: random.Random, **wrong: Any) -> str:
    system.disk.set_disk(**wrong)
    try:
        await asyncio.sleep(chance.uniform(2, 12))
    finally:
        system.disk.set_disk()
    return "archive"


async def full(system: System, chance: random.Random) -> str:
    """Leave no room."""
    return await _for_a_while(system, chance, write=errno.ENOSPC)


async def read_only(system: System, chance: random.Random) -> str:
    """Take no change, as a file system that was mounted again after an error."""
    return await _for_a_while(system, chance, write=errno.EROFS, change=errno.EROFS)


async def unreadable(system: System, chance: random.Random) -> str:
    """Answer each read with an error: archived sessions cannot come back meanwhile."""
    return await _for_a_while(system, chance, read=errno.EIO)


async def slow(system: System, chance: random.Random) -> str:
    """Let each call take long."""
    return await _for_a_while(system, chance, delay_s=chance.uniform(0.05, 0.4))


async def damaged_file(system: System, chance: random.Random) -> str:
    """Damage the file of a session that only this fault uses; then its device comes back."""
    device = f"damaged-{chance.randrange(10**9)}"
    if not await _session(system, chance, device):
        return "could not register"
    path = await _archived(system, device)
    if path is None:
        return "was not archived in time"
    data = path.read_bytes()
    damage = chance.choice(["cut", "flipped", "emptied"])
    place = chance.randrange(len(data))
    if damage == "cut":
        data = data[:place]
    elif damage == "flipped":
        data = data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
    else:
        data = b""
    path.write_bytes(data)
    for _ in range(60):
        try:
            status, shown, _ = await asyncio.to_thread(
                http, _any_port(system, chance), "GET", f"/api/v1/sessions/{device}"
            )
            answer = await _registered(system, chance, device)
            if answer is not None:
                samples = list(shown["data"]) if status == 200 else []
                system.journal.add(Damaged, device, damage, answer["restored"], samples)
                return f"{device} {damage}"
        except OSError:
            pass
        await asyncio.sleep(0.5)
    return f"{device} {damage}, and could not come back"


def _any_port(system: System, chance: random.Random) -> int:
    return chance.choice(system.nodes).own_port


async def _session(system: System, chance: random.Random, device: str) -> bool:
    for _ in range(20):
        if await _registered(system, chance, device, 3) is not None:
            return True
        await asyncio.sleep(0.5)
    return False


async def _registered(
    system: System, chance: random.Random, device: str, updates: int = 0
) -> dict[str, Any] | None:
    """Register and send some updates; return the answer of `register`, None if anything went wrong."""
    try:
        socket = await Socket.connect(_any_port(system, chance), lambda *_: None)
        try:
            answer: dict[str, Any] = await socket.call("register", {"device_id": device})
            for count in range(updates):
                ack = await socket.call("update_data", {"data": {"count": count}, "seq": count + 1})
                if not ack["ok"]:
                    return None
            return answer if answer["ok"] else None
        finally:
            socket.close("done")
    except SocketLost:
        return None


async def _archived(system: System, device: str) -> Path | None:
    """Wait until a session that has left is archived; return its file."""
    for _ in range(120):
        with contextlib.suppress(OSError):
            path = f"/api/v1/sessions/{device}"
            _, shown, _ = await asyncio.to_thread(http, system.nodes[0].own_port, "GET", path)
            found = list(system.archive.glob(f"{stem_of(device)}*.json.zst"))
            if found and isinstance(shown, dict) and shown.get("state") == "archived":
                return found[0]
        await asyncio.sleep(0.25)
    return None


FAULTS = [
    Fault("archive full", full, logged=DISK_FULL, by_shim=True),
    Fault("archive read-only", read_only, logged=DISK_READ_ONLY, by_shim=True),
    Fault("archive unreadable", unreadable, logged=DISK_BROKEN, by_shim=True),
    Fault("archive slow", slow, by_shim=True),
    Fault("archive file damaged", damaged_file, logged=DAMAGE),
]
