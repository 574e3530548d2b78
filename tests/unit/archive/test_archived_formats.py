"""Sessions that earlier versions archived are still sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.archive.record import decode
from service.archiving.archiver import snapshot_of
from service.archiving.records import sound_fields
from service.sessions.store.index import details_of

FORMATS = sorted((Path(__file__).parents[2] / "fixtures" / "archive").glob("format-*.json.zst"))


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_snapshot_of_every_format_is_the_whole_session(path):
    snapshot = snapshot_of(decode(path.read_bytes()))

    assert snapshot.session_id == "Pump/7 süd 😀"
    assert snapshot.fields["session_name"] == "Pump 7"
    assert snapshot.fields["project_id"] == "süd/ost"
    assert snapshot.fields["stream"] == "boot-4"
    assert snapshot.fields["last_seq"] == "7"
    assert snapshot.histories == {
        "speed": ["[1.5,1763600000.25]", "[2,1763600000.25]"],
        "état": [
            '["läuft",1763600000.25]',
            "[null,1763600000.25]",
            '[{"on":true,"codes":[1,2,3]},1763600000.25]',
        ],
        "count": ["[18446744073709551615,1763600001.0]", "[-9223372036854775808,1763600001.0]"],
    }
    assert snapshot.setup == '{"interval_s":5,"limits":{"max":[1,2,3]},"name":"süd"}'
    assert len(snapshot.undo) == int(snapshot.fields["setup_version"]) == 2
    assert '{"interval_s":10}' in snapshot.undo[-1]
    assert snapshot.redo == []
    assert snapshot.timeline[-1].endswith('"event":"archived"}')
    assert len(snapshot.commands_done) == 1
    assert any('"reboot"' in text for text in snapshot.commands.values())


@pytest.mark.parametrize("path", FORMATS, ids=lambda path: path.stem)
def test_details_of_every_format_can_be_shown(path):
    shown = details_of(snapshot_of(decode(path.read_bytes())), iso=True)

    assert shown["session_id"] == "Pump/7 süd 😀"
    assert shown["telemetry"]["speed"] == 2
    assert shown["data"]["speed"] == [[1.5, 1763600000.25], [2, 1763600000.25]]


def test_number_of_a_lost_setup_that_is_none_counts_as_none():
    """Scripts and nodes compute with it, for many sessions together."""
    assert sound_fields({"setup_floor": "1e999"}) == {"setup_floor": "0"}
