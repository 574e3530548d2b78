"""Every page: its links and pictures lead somewhere, and what it says is needed is what is asked for."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from service.cli.local.embedded import oldest
from tests.support.pages import DOCS, PAGES, ROOT, read


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_servers_that_will_do_are_the_same_everywhere(page: Path) -> None:
    """What a page asks for is what `muster up` and `muster doctor` ask for."""
    named = re.findall(r"(Redis|Valkey) (?:≥|>=) ?([\d.]+\d|\d)", page.read_text())
    assert all(text == oldest(kind) for kind, text in named)


def test_servers_that_will_do_are_named_to_operators() -> None:
    for page in ("redis.md", "operations.md"):
        assert f"Redis ≥ {oldest('Redis')} or Valkey ≥ {oldest('Valkey')}" in read(page)


# -- links, pictures, make --


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files are there, and so are the headings within them."""
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        path = (page.parent / file) if file else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("picture", sorted(DOCS.glob("**/*.svg")), ids=lambda path: path.name)
def test_pictures_are_well_formed_and_say_what_they_show(picture: Path) -> None:
    root = ElementTree.fromstring(picture.read_text())
    names = {child.tag.rpartition("}")[2] for child in root}
    assert {"title", "desc"} <= names


def test_make_commands_in_the_readme_exist() -> None:
    named = set(re.findall(r"`?make ([\w-]+)`?", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"run", "test"} <= named <= targets
