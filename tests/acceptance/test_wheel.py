"""The package as users get it: a wheel in a fresh environment, far from this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.sandbox.state import Status

PROJECT = Path(__file__).parents[2]


def run(*argv: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("KARAFKA_", "PYTHON"))}
    return subprocess.run([*argv], cwd=cwd, env=environment, capture_output=True, text=True, timeout=170, check=check)


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_an_installed_wheel_begins_a_project_and_sees_a_fleet(tmp_path: Path, sandbox: Status) -> None:
    # Given a wheel of this project, installed with its base dependencies into a fresh environment
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "dist", PROJECT, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("karafka_ops-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "-q", "-c", PROJECT / "constraints.txt", wheel, cwd=tmp_path)
    # When a project is begun with it
    project = tmp_path / "project"
    begun = run(python, "-m", "ops", "init", project, "--application", "mine", cwd=tmp_path)
    # Then the templates came along, and both command lines work there
    assert begun.stdout.count("wrote") == 8, begun
    assert "hello =>" in run(tmp_path / "venv/bin/inv", "flow", cwd=project).stdout
    listed = run(tmp_path / "venv/bin/fab", "--list", cwd=project).stdout
    assert "karafka.restart" in listed
    assert "production" in listed
    # And it packs itself into what a host's default build installs, so that the app tells its groups there
    run(project / "pack.sh", cwd=project)
    release = tmp_path / "release"
    release.mkdir()
    run("tar", "xzf", project / "mine.tar.gz", cwd=release)
    run(sys.executable, "-m", "venv", ".venv", cwd=release)
    pip = (release / ".venv/bin/python", "-m", "pip", "install", "-q", "-c", PROJECT / "constraints.txt")
    run(*pip, "-r", "requirements.txt", cwd=release)
    told = run(release / ".venv/bin/inv", "info", cwd=release, check=False)
    assert "mine" in told.stdout, told
    # And nothing is overwritten
    (project / "fabric.yaml").write_text("user: mine\n")
    again = run(python, "-m", "ops", "init", project, "--application", "mine", cwd=tmp_path)
    assert "wrote" not in again.stdout
    assert (project / "fabric.yaml").read_text() == "user: mine\n"
    # And a real fleet is seen with it
    status = run(tmp_path / "venv/bin/fab", "-f", sandbox.config, "karafka.status", "--json", cwd=project, check=False)
    assert status.returncode in (0, 3), status.stderr
    assert '"host3"' in status.stdout
