"""Who acts: bounded, and never the one whom a task served before."""

from __future__ import annotations

import json
import threading

import pytest

from service.acting import MAX_WHO_BYTES, SERVICE, Actor, acting_for, actor
from service.tasks import ThreadTasks


@pytest.mark.parametrize("who", ["é" * 500, "\ud800" * 500, "x" * MAX_WHO_BYTES + "é", '"' * 300])
def test_name_is_cut_to_whole_characters(who: str) -> None:
    told = json.loads(Actor(who, "operator" * 9, "rest").json)
    assert len(told["who"].encode()) <= MAX_WHO_BYTES
    assert len(told["role"]) <= 16
    assert "\ufffd" not in told["who"]


def test_task_acts_for_the_service_whoever_made_it() -> None:
    found: list[Actor] = []
    done = threading.Event()

    def note() -> None:
        found.append(actor())
        done.set()

    with acting_for(SERVICE):
        with acting_for(Actor("anna", "operator", "rest")):
            ThreadTasks().spawn(note)
        assert done.wait(5)
        assert found == [SERVICE]
        assert actor() == SERVICE


@pytest.mark.parametrize(
    "told", [None, 7, [], {}, {"who": 1, "role": "admin"}, {"who": "a"}, {"who": "a", "role": ""}]
)
def test_what_cannot_be_read_is_the_service(told: object) -> None:
    assert Actor.of(told, "job") is SERVICE
