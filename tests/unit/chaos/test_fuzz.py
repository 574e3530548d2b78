"""Targets under damaged inputs; each fuzzer is seen to find a fault that is planted in its target."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from muster_client.socket import Socket

from chaos.fuzz import requests, targets
from chaos.fuzz.mutations import mutations
from chaos.fuzz.run import fuzz
from chaos.fuzz.targets import TARGETS
from service.api import negotiation, parsing
from service.archive import marker, names, record
from service.archiving import records
from service.cli.archive import imports
from service.cli.backup import files
from service.config import loader
from service.live.ingest.intake import Intake
from service.live.queue import routing
from service.protocol import authority, frames, handshake, packets
from service.schema import fields
from service.security import tokens
from service.sessions import page_cursor
from service.transport.http import heads
from tests.support.sizes import sampled

INPUTS = sampled(100_000, 1_000)


@pytest.mark.parametrize("name", TARGETS)
def test_door_bears_whatever_comes(name: str) -> None:
    assert fuzz(1, name, TARGETS[name], INPUTS) == []


def test_inputs_follow_from_the_seed() -> None:
    def some(seed: str) -> list[bytes]:
        return list(itertools.islice(mutations(seed, [b"abc", b"defghi"], [b"x"]), 50))

    assert some("1") == some("1")
    assert some("1") != some("2")


def kind_error(*_args: object, **_options: object) -> Any:
    raise KeyError("planted")


PLANTED: dict[str, tuple[object, str, Any]] = {
    "frames": (frames.Parser, "_check_kind", lambda parser, first, length: None),
    "packets": (packets, "_digits_end", lambda text, place, most: len(text)),
    "payloads": (fields.Payload, "parse", classmethod(kind_error)),
    "heads": (heads, "framing", lambda lines: heads.Framing(0, False)),
    "chunks": (heads, "chunk_size", lambda line: int(line, 16)),
    "archive": (record, "_check_trailer", lambda trailer, digest: None),
    "records": (records, "_fits", lambda name, text: True),
    "settings": (loader, "_validate", kind_error),
    "queue": (targets, "read_job", kind_error),
    "tokens": (tokens, "_projects", lambda claims: frozenset(claims["projects"])),
    "queries": (parsing, "read_query", kind_error),
    "bodies": (parsing, "decompressed", lambda body, most: b"{}"),
    "conditions": (parsing, "wanted_version", lambda present: -1),
    "formats": (negotiation, "best_type", lambda header, types: types[0]),
    "hosts": (authority, "_AUTHORITY", re.compile("(?!.)()|(.+)()")),
    "upgrades": (handshake, "answer", kind_error),
    "cells": (requests, "cell", str),
    "messages": (routing, "decode", lambda body, loads: loads(body.decode())),
    "names": (names, "name_of", kind_error),
    "marks": (marker, "_decode", lambda data, seen_at: json.loads(data)),
    "backups": (files, "read_manifest", kind_error),
    "imports": (imports, "_sample", lambda line: ("", "", None, 0.0)),
    "answers": (Socket, "close", lambda socket, reason: None),
    "readers": (Intake, "has_room", lambda intake, owned, updates, cost: True),
    "cursors": (page_cursor, "CURSOR", "^.*$"),
}


def test_every_door_has_a_planted_fault() -> None:
    assert PLANTED.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_planted_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what, instead = PLANTED[name]
    monkeypatch.setattr(where, what, instead)
    assert fuzz(1, name, TARGETS[name], 5_000) != []
