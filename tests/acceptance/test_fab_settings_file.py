"""What a settings' file may say, as a user meets it: through `fab` and `inv`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.labs.in_process import fab, inv

SETTINGS = """
karafka:
  application: shop
  deploy_to: /srv/shop
  command: bin/run
  hooks: {after-updated.sh: {on: hosts}, after-published: {"on": local}}
  stages: {production: {hosts: [{host: web1, address: 127.0.0.1, port: 1}]}}
"""
ASK = {"fab": ["karafka.config", "--json"], "inv": ["flow", "--app", "ops.reference.sources:app"]}


def run(folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "COLUMNS": "120"}
    if program == "fab":
        return fab(folder, *arguments, code=None, config="", env=env)
    return inv(folder, *arguments, code=None, env=env)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    return tmp_path


def test_hooks_on_hosts_work_as_they_are_written(project: Path) -> None:
    # Given a project whose hooks say where they run, with and without quotes
    (project / "fabric.yaml").write_text(SETTINGS)
    # When fab is asked for its settings, and inv for the app, also by -f
    done = run(project, "fab", *ASK["fab"])
    # Then they are as written
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["karafka"]["hooks"] == {
        "after-updated.sh": {"on": "hosts"},
        "after-published": {"on": "local"},
    }
    other = run(project, "inv", "-f", "fabric.yaml", *ASK["inv"])
    assert (other.returncode, other.stderr) == (0, "")


@pytest.mark.parametrize("program", ["fab", "inv"])
def test_what_invoke_cannot_take_is_our_error_and_no_traceback(project: Path, program: str) -> None:
    # Given a file with a date, and one that contains itself
    for value, key in (("2026-01-01", "karafka.branch"), ("&a [*a]", "karafka.branch[0]")):
        (project / "other.yaml").write_text(f"{SETTINGS}  branch: {value}\n")
        # When the file is named by -f
        done = run(project, program, "-f", "other.yaml", *ASK[program])
        # Then it is refused by its key
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ")
        assert f"other.yaml: {key}: " in done.stderr
        assert "Traceback" not in done.stderr
