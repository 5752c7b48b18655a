"""Whoever lacks something is told what brings it, in one error."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import tomllib

from ops.core.errors import ExitCode, UsageError
from ops.core.needs import EXTRAS, MissingExtraError, extras_named, require, require_linux


def test_extras_and_what_they_bring_are_those_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    for extra, brought in EXTRAS.items():
        assert [one.partition(">")[0] for one in project["optional-dependencies"][extra]] == list(brought)


def test_all_that_is_missing_is_named_once_with_its_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("jgo", "httpx"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        require("httpx", "jgo", "sqlalchemy", "httpx", "json")
    assert caught.value.what == "httpx, jgo are not installed"
    assert "'.[sandbox,reference]'" in caught.value.hint


@pytest.mark.parametrize("module", [one for brought in EXTRAS.values() for one in brought])
def test_an_import_that_fails_names_the_extra(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    for name in [one for one in sys.modules if one == module or one.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    (extra,) = [name for name, brought in EXTRAS.items() if module in brought]
    with pytest.raises(MissingExtraError, match=rf"{module} is not installed\n.*\[{extra}\]"), extras_named():
        __import__(module)


def test_any_other_import_error_is_left_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extras_named():
        __import__("no_such_module")


def test_another_system_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    require_linux("sandbox")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match=r"^sandbox: Linux only") as caught:
        require_linux("sandbox")
    assert caught.value.exit_code == ExitCode.USAGE
