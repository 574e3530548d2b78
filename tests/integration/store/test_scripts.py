"""Each script is sent with the shared functions that it uses, and no others."""

import re

import pytest

from service.sessions.store.scripts import LUA_DIR, load_scripts, shared_statements, words_of

STATEMENTS = list(shared_statements())


@pytest.mark.parametrize("name", sorted(load_scripts()))
def test_a_script_has_what_it_uses_of_the_shared_files_and_no_more(name: str) -> None:
    script = load_scripts()[name]
    (own,) = LUA_DIR.glob(f"*/{name}.lua")
    head = script.removesuffix(own.read_text())
    assert head != script
    sent = [one for one in STATEMENTS if re.search(re.escape(one.source), head)]
    assert "".join(one.source for one in sent) == head
    words = words_of(script)
    for one in STATEMENTS:
        assert one in sent or not one.names & words, one.names
    below = words_of(own.read_text())
    for one in reversed(sent):
        assert one.names & below
        below |= one.words


def test_no_text_in_a_script_looks_like_a_comment() -> None:
    """What follows it would not be seen as used."""
    for path in LUA_DIR.rglob("*.lua"):
        for line in path.read_text().splitlines():
            code = line.partition("--")[0]
            assert code.count("'") % 2 == 0, line


def test_who_acts_is_taken_from_the_arguments_of_every_script() -> None:
    assert all("table.remove(ARGV)" in text for text in load_scripts().values())
