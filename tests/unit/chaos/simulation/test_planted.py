"""Planted faults are still faults: what they change is there. The sample that is run of them would not show it."""

from __future__ import annotations

import pytest
import redis

from chaos.simulation.planted.faults import PLANTED
from chaos.simulation.planted.plant import Plant
from service.sessions.store.scripts import load_scripts


@pytest.mark.parametrize("planted", PLANTED, ids=lambda one: one.name)
def test_planted_fault_has_its_place(planted: Plant) -> None:
    client = redis.Redis()
    with planted.plant():
        for text in load_scripts().values():
            client.register_script(text)
