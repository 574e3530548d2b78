"""Checks of the archive for `muster doctor`."""

from __future__ import annotations

import shutil
import tempfile

from service.cli import options
from service.cli.doctor.findings import Finding, Patient

#: Free parts of the disk, in percent: little, and all but none.
LITTLE_PERCENT, NONE_PERCENT = 10, 2


def check_archive(patient: Patient) -> list[Finding]:
    """Quiet sessions have somewhere to go, and get there."""
    archive = patient.archive
    if archive.wrong is None:
        mend = "set archive.url to a folder: without an archive, sessions stay in Redis"
        return [Finding("archive", "warning", "there is none", mend)]
    if archive.wrong:
        mend = "mount its disk, or set archive.url to the same value as the nodes"
        return [Finding("archive", "error", archive.wrong, mend)]
    found = [Finding("archive", "ok", patient.config.archive.url)]
    if error := _last_error(patient):
        mend = "make room on its disk, or mount it: sessions stay in Redis until then"
        found = [Finding("archive", "error", error, mend)]
    if archive.quarantined:
        seen = f"{archive.quarantined} invalid files are in quarantine"
        found.append(Finding("archive", "warning", seen, "`muster archive quarantine list`"))
    return [*found, *_check_disk(archive.folder)]


def _check_disk(folder: str) -> list[Finding]:
    """There is room, and this machine can write."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"muster doctor")
            file.flush()
        usage = shutil.disk_usage(folder)
    except OSError as exc:
        mend = "make room, mount it writable, or give the user of the workers write permission"
        return [Finding("disk", "error", f"{folder} cannot be written: {exc.strerror}", mend)]
    percent = 100 * usage.free / usage.total
    seen = f"{usage.free / 2**30:.1f} GiB free ({percent:.0f} %)"
    if percent < LITTLE_PERCENT:
        mend = "make room: when it is full, sessions stay in Redis and fill it"
        return [Finding("disk", "error" if percent < NONE_PERCENT else "warning", seen, mend)]
    return [Finding("disk", "ok", seen)]


def _last_error(patient: Patient) -> str:
    """Return what the archive failed with, if it was not written since; "": nothing."""
    at_ms = int(patient.upkeep.get("archive_failed_at", 0))
    if at_ms <= int(patient.upkeep.get("archived_at", 0)):
        return ""
    error = patient.upkeep.get("archive_error", "")
    return f"could not be written at {options.when(at_ms / 1000)}: {error}"
