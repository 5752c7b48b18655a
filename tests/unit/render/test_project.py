"""What `python -m ops init` writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from ops.core.section import load

MARK = "(yours)"
_KEY = re.compile(r" *(?:- )?\{?([a-z_]+):")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has just been begun."""
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(
        [sys.executable, "-m", "ops", "init", folder, "--application", "mine"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


def test_every_value_of_the_annotated_settings_that_is_not_marked_is_the_default(begun: Path) -> None:
    # Given the annotated settings, and the same without what is marked
    text = (begun / "fabric.yaml").read_text()
    raw = yaml.safe_load(text)["karafka"]
    marked = {found[1] for line in text.splitlines() if MARK in line and (found := _KEY.match(line))}

    # When both are read; what cannot be left out stays
    required = {"application", "deploy_to", "command", "stage", "stages"}
    shown, defaults = plain(load(raw)), plain(load({key: raw[key] for key in required}))

    # Then they differ in what is marked alone
    differing = {key for key in shown if shown[key] != defaults[key] and not isinstance(shown[key], dict)}
    for key in shown:
        if isinstance(shown[key], dict) and isinstance(defaults[key], dict):
            differing |= {name for name in shown[key] if shown[key][name] != defaults[key].get(name)}
    assert differing <= marked
    assert required <= marked


def test_what_init_writes_packs_itself_into_an_artifact_with_all_that_a_host_installs(begun: Path) -> None:
    # Given a project that has just been begun
    # When it is packed as pack.sh says
    subprocess.run([begun / "pack.sh"], check=True, timeout=60)

    # Then the archive has the app, its settings and, named by the requirements, the tool's wheel
    with tarfile.open(begun / "mine.tar.gz") as archive:
        names = archive.getnames()
    needed = [line for line in (begun / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert {"mine_app.py", "fabric.yaml", "tasks.py", "requirements.txt"} <= set(names)
    assert [one for one in needed if one.removeprefix("./") not in names] == []


def test_a_project_with_requirements_of_its_own_keeps_them_alone(tmp_path: Path) -> None:
    # Given a project that says in pyproject.toml what it needs
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\nversion = '1'\n")
    # When it is begun
    subprocess.run([sys.executable, "-m", "ops", "init", tmp_path], check=True, capture_output=True, timeout=60)
    # Then nothing else says it
    assert not (tmp_path / "requirements.txt").exists()


def plain(settings: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(msgspec.json.encode(settings))
    return data
