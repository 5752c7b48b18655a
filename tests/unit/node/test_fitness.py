"""Whether a host can do all of a deploy: what is in the way is said before anything is moved."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ops import __version__
from ops.core.release import Artifact, DeployAction, DeployCall
from ops.node import building, fitness
from ops.node.releases import Releases
from tests.labs.parts import find


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's deploy_to; there is no uv, which brings interpreters of its own."""
    monkeypatch.setenv("PATH", "/nonexistent")
    return tmp_path


def troubles(root: Path, **call: Any) -> tuple[str, ...]:
    return fitness.troubles(Releases(root), DeployCall(DeployAction.CHECK, str(root), **call))


def test_a_host_with_this_tool_and_an_interpreter_that_will_do_is_fit(root: Path) -> None:
    # When all that is asked for is there
    artifact = Artifact("app.tar.gz", 1, "")
    # Then nothing is in the way
    assert troubles(root, tool=__version__, artifact=artifact, build=(), oldest=tuple(sys.version_info[:2])) == ()


def test_a_host_whose_tool_is_another_version_is_not_fit(root: Path) -> None:
    # When the operator's tool is another version
    (found,) = troubles(root, tool="99.1")
    # Then both are named, and the task that mends it
    assert found == f"its tool is version {__version__}, yours 99.1: fab karafka.setup"


@pytest.mark.parametrize(("name", "module"), [("a.tgz", "zlib"), ("a.tar.xz", "lzma"), ("a.tar.bz2", "bz2")])
def test_an_interpreter_that_cannot_unpack_the_artifact_is_not_fit(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    # Given an interpreter that was built without a module
    monkeypatch.setitem(sys.modules, module, None)
    # When an artifact needs it
    (found,) = troubles(root, artifact=Artifact(name, 1, ""))
    # Then that is said, and one that does not need it is no trouble
    assert f"has no {module}, so that it cannot unpack {name}" in found
    assert troubles(root, artifact=Artifact("a.tar", 1, "")) == ()


def test_an_interpreter_too_old_for_the_apps_own_venv_is_not_fit(root: Path) -> None:
    # When the default build would make the venv of an interpreter that the app does not run on
    (found,) = troubles(root, build=(), oldest=(sys.version_info[0], sys.version_info[1] + 1))
    # Then it says what to set; a build of the project's own is its own matter
    assert "karafka.python" in found
    assert troubles(root, build=("make",), oldest=(99, 0)) == ()


@pytest.fixture
def old_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent on the oldest interpreter of a host."""
    monkeypatch.setattr(building, "sys", SimpleNamespace(version_info=(3, 9, 2), executable="/usr/bin/python3.9"))


@pytest.mark.usefixtures("old_agent")
def test_a_host_is_fit_by_uv_where_it_finds_an_interpreter_for_the_apps_own_venv(root: Path) -> None:
    # Given an agent on an old interpreter, and uv on the PATH that the build has, and not on the agent's
    uv, own = find("uv"), tuple(sys.version_info[:2])
    assert uv is not None
    env = {"PATH": str(Path(uv).parent)}
    # When there is an interpreter that will do
    # Then uv finds it
    assert troubles(root, build=(), oldest=own, env={"PATH": f"{env['PATH']}:{Path(sys.executable).parent}"}) == ()
    # And where there is none, that is said before anything is moved
    (found,) = troubles(root, build=(), oldest=(3, 99), env=env)
    assert "uv finds no other, the app needs 3.99 or later: uv python install 3.99" in found
    # And with a lock uv decides by that
    (root / "current").mkdir()
    (root / "current/uv.lock").touch()
    assert not any("uv finds" in one for one in troubles(root, build=(), oldest=(3, 99), env=env))
