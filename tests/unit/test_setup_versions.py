"""Versions of the setup in a snapshot, as an archived session has them."""

from __future__ import annotations

from typing import Any

import pytest

from service import errors
from service.sessions.model import Snapshot
from service.sessions.store.setups import version_of


def snapshot(versions: str, number: str = "14") -> Snapshot:
    return Snapshot(
        session_id="s1",
        fields={"setup_version": number, "setup_versions": versions},
        histories={},
        setup='"present"',
        undo=['"u1"', '"u2"', '"u3"'],
        redo=['"r1"', '"r2"'],
        timeline=[],
        commands={},
        commands_done=[],
        read_ms=0,
    )


KEPT = {14: "present", 10: "present", 9: "u3", 8: "u2", 12: "r2", 13: "r1"}


def found(one: Snapshot) -> dict[int, Any]:
    versions = {}
    for version in range(20):
        try:
            versions[version] = version_of(one, version)
        except errors.VersionNotFound:
            continue
    return versions


def test_each_version_is_the_document_that_it_was() -> None:
    """The newest steps are at the end; of the oldest one it was not noted which version it is."""
    assert found(snapshot("14+10|8,9|13,12")) == KEPT


@pytest.mark.parametrize("versions", ["13+10|8,9|12,11", "", "1|8,9|", "140|8,9|"])
def test_versions_that_an_older_program_did_not_keep_are_not_made_up(versions: str) -> None:
    assert found(snapshot(versions)) == {14: "present"}
