"""The default build by the real pip and uv, without a network: what a release brings decides what is installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from ops.core.errors import OpsError
from ops.node import building
from ops.node.building import build, environment
from ops.node.streaming import run
from tests.labs.parts import find

SECONDS = 120.0


def wheel(folder: Path, name: str, version: str) -> Path:
    """Make a wheel of one module that knows its version."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels, the only place that packages come from."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, version in (("lib", "1.0"), ("lib", "2.0"), ("other", "1.0")):
        wheel(folder, name, version)
    return folder


def uvs_own(folder: Path) -> dict[str, str]:
    """Return an environment in which uv leaves its cache and its locks in a test's own folder."""
    return {"UV_CACHE_DIR": str(folder / "uv-cache"), "TMPDIR": str(folder)}


@pytest.fixture
def built(tmp_path: Path, house: Path) -> Callable[..., tuple[str, list[str]]]:
    """Builds a release of some files by pip; gives what was said at the end, and the commands."""

    def make(files: Mapping[str, str], *own: str, uv: str = "", oldest: tuple[int, ...] = ()) -> tuple[str, list[str]]:
        release = tmp_path / "release"
        release.mkdir(exist_ok=True)
        for name, text in files.items():
            (release / name).write_text(text)
        tools = tmp_path / "tools"
        tools.mkdir(exist_ok=True)
        if uv:
            (tools / "uv").symlink_to(uv)
        # No registry: what is not in the house is not there
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house), "UV_OFFLINE": "1", "UV_FIND_LINKS": str(house)}
        env = {**environment(offline), "PATH": f"{tools}:/usr/bin:/bin", **uvs_own(tmp_path)}
        told: list[str] = []
        words = build(release, own, env, SECONDS, lambda kind, line: told.append(f"{kind} {line}"), run, oldest)
        return words, [line.removeprefix("building ") for line in told if line.startswith("building ")]

    return make


def version(release: Path, name: str) -> str:
    """Return the version of a module that the release's own interpreter finds; empty for none."""
    code = f"import importlib.util as u; print(__import__({name!r}).VERSION if u.find_spec({name!r}) else '')"
    argv = [release / ".venv/bin/python", "-I", "-c", code]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.strip()


def test_what_is_not_as_it_is_locked_ends_the_build_and_the_next_one_has_lock_constraints_and_the_releases_wheel(
    built: Callable[..., tuple[str, list[str]]], tmp_path: Path
) -> None:
    # Given requirements whose hash is not that of what is there
    with pytest.raises(OpsError, match="the build failed") as caught:
        built({"requirements.txt": f"other==1.0 --hash=sha256:{'0' * 64}\n"})
    # Then pip's words are the error's
    assert "DO NOT MATCH THE HASHES" in str(caught.value)
    # Given a lock in the same folder, looser requirements that nobody is to read beside it, constraints, and a wheel
    wheel(tmp_path / "release", "own", "3.0")
    files = {"requirements.lock": "lib\n", "requirements.txt": "other\n", "constraints.txt": "lib<2\n"}
    # When it is built
    words, commands = built(files)
    # Then the lock's are there, as the constraints allow, and the wheel; the interpreter is the release's own
    release = tmp_path / "release"
    assert words.startswith("built in ")
    assert (version(release, "lib"), version(release, "own"), version(release, "other")) == ("1.0", "3.0", "")
    assert [command.split()[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]


@pytest.mark.soak
def test_what_is_as_it_is_locked_is_installed(
    built: Callable[..., tuple[str, list[str]]], house: Path, tmp_path: Path
) -> None:
    # Given requirements whose hash is that of what is there
    right = hashlib.sha256((house / "other-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    # When they are installed
    built({"requirements.txt": f"other==1.0 --hash=sha256:{right}\n"})
    # Then it is there
    assert version(tmp_path / "release", "other") == "1.0"


def test_a_release_without_anything_to_install_builds_nothing(built: Callable[..., tuple[str, list[str]]]) -> None:
    assert built({"program.py": "pass\n"}) == ("nothing to build: no lock, requirements, project or wheel", [])


def test_a_build_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"0\.5 s"):
        build(tmp_path, ["sleep", "170"], dict(os.environ), 0.5, lambda *_: None, run)


@pytest.fixture(scope="module")
def uv() -> str:
    """uv, as the project's extra `dev` brings it."""
    found = find("uv")
    assert found is not None
    return found


PYPROJECT = """
[project]
name = "sources"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["lib<2"]

[dependency-groups]
dev = ["other"]

[tool.uv]
package = false
no-index = true
find-links = ["{house}"]
"""


def test_with_uv_and_its_lock_the_release_gets_what_is_locked_and_nothing_of_development(
    built: Callable[..., tuple[str, list[str]]], uv: str, house: Path, tmp_path: Path
) -> None:
    # Given a project that is locked
    release = tmp_path / "release"
    release.mkdir()
    (release / "pyproject.toml").write_text(PYPROJECT.format(house=house))
    env = {**os.environ, **uvs_own(tmp_path), "UV_PYTHON": sys.executable}
    subprocess.run([uv, "lock", "--offline"], cwd=release, env=env, timeout=60, check=True, capture_output=True)
    # When it is built where uv is
    _, commands = built({}, uv=uv)
    # Then it is what uv makes of the lock
    assert [command.split()[1:] for command in commands] == [["sync", "--frozen", "--no-dev"]]
    assert (version(release, "lib"), version(release, "other")) == ("1.0", "")
    # And a lock that does not fit the project any more is left as it is: frozen
    lock = (release / "uv.lock").read_bytes()
    (release / "pyproject.toml").write_text(PYPROJECT.format(house=house).replace("lib<2", "lib>=2"))
    built({}, uv="")
    assert (release / "uv.lock").read_bytes() == lock
    assert version(release, "lib") == "1.0"


def test_with_uv_and_no_lock_of_its_own_the_requirements_are_installed_by_uv(
    built: Callable[..., tuple[str, list[str]]], uv: str, tmp_path: Path
) -> None:
    _, commands = built({"requirements.txt": "lib\n", "constraints.txt": "lib<2\n"}, uv=uv)
    assert [command.split()[1] for command in commands] == ["venv", "pip"]
    assert version(tmp_path / "release", "lib") == "1.0"
    # And so they are in the place of a link to what all releases share, and over a venv that the release brings
    (tmp_path / "release/.venv").rename(tmp_path / "shared")
    (tmp_path / "shared/mark").touch()
    (tmp_path / "release/.venv").symlink_to("../shared")
    for _ in range(2):
        built({"requirements.txt": "lib\n", "constraints.txt": "lib<2\n"})
        assert version(tmp_path / "release", "lib") == "1.0"
    assert (tmp_path / "shared/mark").exists()


def test_where_the_agents_own_interpreter_is_too_old_uv_makes_the_venv_of_another(
    built: Callable[..., tuple[str, list[str]]], uv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an agent on an interpreter that the app does not run on, and one on PATH that will do
    own = building.python()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/python3").symlink_to(own)
    monkeypatch.setattr(building, "sys", SimpleNamespace(version_info=(3, 9, 2), executable="/none/python3.9"))
    # When a release without a uv.lock is built where uv is
    _, commands = built({"requirements.txt": "lib<2\n"}, uv=uv, oldest=tuple(sys.version_info[:2]))
    # Then its venv is of that one, and nothing was to be downloaded
    assert "--no-python-downloads" in commands[0]
    assert version(tmp_path / "release", "lib") == "1.0"
