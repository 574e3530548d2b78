"""The invisible characters that a name may not have are those of Unicode's property."""

from __future__ import annotations

import json
import subprocess

import pytest

from service.schema.names import IGNORABLE, JOINING

#: Node.js has Unicode's tables, Python has not this one.
SCRIPT = r"""
const codes = [...Array(0x110000).keys()].filter(code => code < 0xD800 || code >= 0xE000);
const found = property => codes.filter(code => property.test(String.fromCodePoint(code)));
console.log(JSON.stringify([/\p{DI}/u, /\p{Join_Control}/u, /\p{Variation_Selector}/u].map(found)));
"""


@pytest.mark.processes
def test_tables_are_those_of_unicode() -> None:
    run = subprocess.run(["node", "-e", SCRIPT], capture_output=True, timeout=60, check=True)
    ignorable, joiners, selectors = (set(codes) for codes in json.loads(run.stdout))
    joining = {code for first, last in JOINING for code in range(first, last + 1)}
    others = {code for first, last in IGNORABLE for code in range(first, last + 1)}
    assert joining == joiners | selectors
    assert joining | others == ignorable
    assert not joining & others
