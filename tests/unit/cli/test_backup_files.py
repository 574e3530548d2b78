"""The folder of a backup: what says of itself what cannot be, or names other files, is no backup."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from service.cli.backup import files
from service.errors import ConfigError, ServiceError

SOUND = files.Manifest(
    format=1,
    moment_ms=1,
    made_at="2026",
    version="0.1.0",
    server="valkey",
    key_prefix="muster",
    database=0,
    partitions=1,
    sums_sha256="",
    archived_files=0,
    unreadable=0,
)


def write(folder: Path, **wrong: Any) -> None:
    content = json.dumps(dataclasses.asdict(SOUND) | wrong)
    (folder / files.MANIFEST).write_text(content)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", True),
        ("moment_ms", "1"),
        ("partitions", None),
        ("database", 1.5),
        ("version", []),
    ],
)
def test_backup_that_describes_itself_by_other_kinds_of_values_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    write(tmp_path)
    assert files.read_manifest(tmp_path) == SOUND
    write(tmp_path, **{name: value})
    with pytest.raises(ConfigError, match="no backup"):
        files.read_manifest(tmp_path)


def test_backup_that_describes_itself_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / files.MANIFEST).write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="no backup"):
        files.read_manifest(tmp_path)


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "{folder}/secret", "a\0b"])
def test_list_of_files_names_none_outside_the_backup(tmp_path: Path, path: str) -> None:
    backup = tmp_path / "backup"
    backup.mkdir()
    (tmp_path / "secret").write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    sums = files.write_sums(backup, {path.format(folder=tmp_path): digest})
    manifest = dataclasses.replace(SOUND, sums_sha256=sums)
    with pytest.raises(ServiceError, match="not in the backup"):
        files.check_files(backup, manifest)
