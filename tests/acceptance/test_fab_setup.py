"""`fab karafka.setup` on a fresh host over real SSH: this build of the tool, from a wheelhouse alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import ops
from ops.fleet.setup.wheel import own_wheel
from tests.labs.ssh_fleet import MakeHosts

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")


def environment(folder: Path) -> dict[str, str]:
    """Give the environment in which the tool is the project's own copy: nobody edits that while a test runs."""
    return {**os.environ, "PYTHONPATH": str(folder / "tool")}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [FAB, "-f", "fabric.json", *arguments],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@pytest.fixture
def host(tmp_path: Path, ssh_hosts: MakeHosts) -> Path:
    """A fresh host, and a project in `tmp_path` that knows it; gives its deploy_to."""
    fleet = ssh_hosts(1)
    files = fleet.hosts[0].files
    place = {"address": files.address, "port": files.port, "user": files.user, "deploy_to": str(files.deploy_to)}
    data = {
        "load_ssh_configs": False,
        "connect_kwargs": {"key_filename": [str(fleet.key)], "look_for_keys": False, "allow_agent": False},
        "karafka": {
            "application": "shop",
            "deploy_to": "/nowhere",
            "command": "true",
            "known_hosts": str(fleet.known_hosts),
            "stages": {"test": {"hosts": [{"host": "web1", **place}]}},
        },
    }
    ignore = shutil.ignore_patterns("__pycache__")
    package = Path(ops.__file__).parent
    shutil.copytree(package, tmp_path / "tool" / "ops", ignore=ignore)
    shutil.copytree(package.parent / "templates", tmp_path / "tool" / "templates", ignore=ignore)
    (tmp_path / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
    (tmp_path / "fabric.json").write_text(json.dumps(data))
    return files.deploy_to


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    """The wheels that a host needs, as a user gets them."""
    folder = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*pip, *own_wheel().requirements], check=True, capture_output=True, timeout=170)
    return folder


@pytest.mark.timeout(600)
def test_a_fresh_host_is_set_up_from_a_wheelhouse_and_then_answers(
    tmp_path: Path, host: Path, wheelhouse: Path
) -> None:
    # Given a host without the tool: status names the task to run
    done = run(tmp_path, "karafka.status")
    assert done.returncode == 4
    assert "fab karafka.setup" in done.stdout
    # When it is set up without a registry
    done = run(tmp_path, "karafka.setup", "--wheelhouse", str(wheelhouse))
    # Then the folders are there, the host knows its key, and the agent answers
    assert done.returncode == 0, done.stderr
    assert "web1: set up" in done.stdout
    for folder in ("releases", "repo", "shared/releases", "shared/tmp/pids", "shared/tmp/slots", "shared/log"):
        assert (host / folder).is_dir()
    assert json.loads((host / "shared/karafka-ops-host.json").read_text()) == {"host": "web1", "stage": "test"}
    assert run(tmp_path, "karafka.status").returncode == 3
    # And it is this very build, in a venv of its own
    link = host / "shared/karafka-ops"
    code = "from ops.fleet.setup.wheel import own_wheel; print(own_wheel().digest)"
    argv = [sys.executable, "-c", code]
    said = subprocess.run(argv, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    assert json.loads((link / "karafka-ops.json").read_text())["digest"] == said.stdout.strip()
    code = "import ops; print(ops.__version__, ops.__file__)"
    argv = [str(link / "bin/python"), "-P", "-c", code]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert str(link.parent) in said.stdout
    # When it is set up again
    before = link.readlink()
    done = run(tmp_path, "karafka.setup", "--wheelhouse", str(wheelhouse), "--json")
    # Then nothing is done, and it says so
    assert json.loads(done.stdout)["hosts"] == [
        {"host": "web1", "ok": True, "message": "already set up with this version"}
    ]
    assert link.readlink() == before
    # When what is there is damaged
    (link / "karafka-ops.json").write_text("{}")
    done = run(tmp_path, "karafka.setup", "--wheelhouse", str(wheelhouse))
    # Then a new venv takes its place in one step
    assert done.returncode == 0, done.stderr
    assert link.readlink() != before
    assert run(tmp_path, "karafka.status").returncode == 3


@pytest.mark.timeout(300)
def test_a_setup_that_fails_leaves_nothing_behind(tmp_path: Path, host: Path, wheelhouse: Path) -> None:
    # Given a wheelhouse that lacks what a requirement requires
    for wheel in wheelhouse.glob("crc32c*"):
        wheel.unlink()
    # When the host is set up
    done = run(tmp_path, "karafka.setup", "--wheelhouse", str(wheelhouse))
    # Then it says what is missing, and there is no half of a venv
    assert done.returncode == 1
    assert "crc32c" in done.stderr
    assert "wheelhouse" in done.stderr
    assert sorted(path.name for path in (host / "shared").glob("karafka-ops*")) == ["karafka-ops.lock"]


def test_a_wheelhouse_without_a_requirement_is_refused_before_any_host_is_reached(tmp_path: Path, host: Path) -> None:
    # Given a folder without wheels
    (tmp_path / "wheels").mkdir()
    # When it is to be the wheelhouse
    done = run(tmp_path, "karafka.setup", "--wheelhouse", "wheels")
    # Then the command that fills it is named
    assert done.returncode == 2
    assert "pip download" in done.stderr
    assert not (host / "shared").exists()


def test_a_host_with_an_old_python_or_none_says_so(tmp_path: Path, host: Path) -> None:
    # Given a host whose python3 is an old one
    (tmp_path / "wheels").mkdir()
    for name in own_wheel().requirements:
        (tmp_path / "wheels" / f"{name.split('[')[0].split('>')[0].replace('-', '_')}-1-py3-none-any.whl").touch()
    home = host.parent / "home"
    (home / "bin").mkdir()
    old = home / "bin" / "python3"
    old.write_text(
        f"#!{sys.executable}\nimport sys\nsys.version_info = (3, 9, 2)\nargv = sys.argv\n"
        "sys.argv = ['-c', *argv[3:]]\nexec(argv[2])\n"
    )
    old.chmod(0o755)
    session = host.parent / "etc" / "session"
    session.write_text(f"export PATH={home}/bin:$PATH\n{session.read_text()}")
    # When it is set up
    done = run(tmp_path, "karafka.setup", "--wheelhouse", "wheels")
    # Then its version is named
    assert done.returncode == 1
    assert "its python3 is 3.9.2" in done.stderr
    # And one without any says that
    session.write_text(session.read_text().replace(f"{home}/bin:$PATH", f"{home}/none"))
    done = run(tmp_path, "karafka.setup", "--wheelhouse", "wheels")
    assert done.returncode == 1
    assert "there is no python3" in done.stderr


def test_a_host_where_the_folder_cannot_be_made_says_so(tmp_path: Path, host: Path) -> None:
    # Given a host where a file is in the way (root may write everywhere else)
    host.rmdir()
    host.write_text("in the way")
    (tmp_path / "wheels").mkdir()
    for name in ("psutil", "kafka_python"):
        (tmp_path / "wheels" / f"{name}-1-py3-none-any.whl").touch()
    # When it is set up
    done = run(tmp_path, "karafka.setup", "--wheelhouse", "wheels")
    # Then it says what could not be made
    assert done.returncode == 1
    assert f"{host}" in done.stderr
    assert "cannot be made" in done.stderr
