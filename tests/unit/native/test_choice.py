"""What reads the updates follows from `node.native` and from what is installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from service import errors
from service.config.loader import load_config
from service.native import choice
from service.native.choice import find_native


def install(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, choice.MODULE, module)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = SimpleNamespace(INTERFACE=choice.INTERFACE)
    install(monkeypatch, module)
    return module


def test_module_is_used_where_it_is_there(built: Any) -> None:
    assert find_native("auto") is built
    assert find_native(True) is built
    assert find_native(False) is None


@pytest.mark.parametrize("module", [None, SimpleNamespace(INTERFACE=0)], ids=["none", "older"])
def test_python_is_used_where_it_is_not_unless_it_is_required(
    monkeypatch: pytest.MonkeyPatch, module: Any
) -> None:
    install(monkeypatch, module)
    assert find_native("auto") is None
    assert find_native(False) is None
    with pytest.raises(errors.ConfigError, match=r"node\.native: .*MUSTER_NATIVE=1"):
        find_native(True)


@pytest.mark.parametrize(("text", "value"), [("auto", "auto"), ("true", True), ("false", False)])
def test_setting_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, value: object
) -> None:
    monkeypatch.setenv("MUSTER_NODE__NATIVE", text)
    assert load_config().node.native is value or load_config().node.native == value


@pytest.mark.parametrize("text", ["yes", "1", "native", "null"])
def test_other_words_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("MUSTER_NODE__NATIVE", text)
    with pytest.raises(
        errors.ConfigError, match=r"node\.native: .*'auto', True or False"
    ) as caught:
        load_config()
    assert len(str(caught.value).splitlines()) == 1
