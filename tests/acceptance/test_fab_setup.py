"""`fab karafka.setup` on a fresh host over real SSH: this build of the tool, from a wheelhouse alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import ops
from ops.core.interpreters import NEWEST, OLDEST_ON_HOSTS
from ops.core.ownership import roots_folder
from ops.fleet.setup import remote
from ops.fleet.setup.opening import PLACES
from ops.fleet.setup.wheel import own_wheel
from ops.sandbox.hosts import LocalFleet
from tests.labs.in_process import fab
from tests.labs.parts import ROOT, TCSH, find, needs, require
from tests.labs.root_host import SERVICE, RootHost, as_service
from tests.labs.ssh_fleet import MakeHosts

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")
TITLE = r"\033]0;x\007"  # of a terminal's window, as start-up files of many set it


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which the tool is the project's own copy: nobody edits that while a test runs."""
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


READY_MADE = """\
#!/bin/sh
if [ "$3" = venv ]; then
    {python} -I -m venv --without-pip "$4" && ln -s {pip} "$(echo "$4"/lib/python3*/site-packages)"
else
    {python} "$@" | sed "s#{python}#$0#"
fi
"""


class Fresh:
    """A host without the tool, and a project that knows it.

    Attributes
    ----------
    root : its deploy_to.
    """

    def __init__(self, folder: Path, fleet: LocalFleet, root: Path) -> None:
        self.folder = folder
        self.root = root
        self.files = fleet.hosts[0].files
        self._fleet = fleet
        ignore = shutil.ignore_patterns("__pycache__")
        package = Path(ops.__file__).parent
        shutil.copytree(package, folder / "tool" / "ops", ignore=ignore)
        shutil.copytree(package.parent / "templates", folder / "tool" / "templates", ignore=ignore)
        (folder / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
        self.settings()

    def settings(self, **more: Any) -> None:
        """Write the settings."""
        files = self.files
        place = {"address": files.address, "port": files.port, "user": files.user, "deploy_to": str(self.root)}
        keys = {"key_filename": [str(self._fleet.key)], "look_for_keys": False, "allow_agent": False}
        karafka = {
            "application": "shop",
            "deploy_to": "/nowhere",
            "command": ["sleep", "600"],
            "readiness": "alive",
            "stop_timeout_seconds": 5,
            "rollout": {"settle_seconds": 0},
            "known_hosts": str(self._fleet.known_hosts),
            "stages": {"test": {"hosts": [{"host": "web1", **place}]}},
            **more,
        }
        data = {"load_ssh_configs": False, "connect_kwargs": keys, "karafka": karafka}
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def with_pip_at_hand(self) -> None:
        """Name an interpreter that gives a venv the pip that is there; unpacking and compiling cost the most."""
        python, path = newest_here().path, self.folder / "python3"
        code = "import pathlib, pip; print(pathlib.Path(pip.__file__).parent)"
        pip = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True)
        path.write_text(READY_MADE.format(python=python, pip=pip.stdout.strip()))
        path.chmod(0o755)
        config = self.files.home / ".config/pip/pip.conf"
        config.parent.mkdir(parents=True)
        config.write_text("[install]\nno-compile = true\n")
        self.settings(python=str(path))

    def log_in_by(self, shell: str, start_up: str, text: str) -> None:
        """Let the user's log-in shell be another one, with this start-up file."""
        session = self.files.etc / "session"
        session.write_text(session.read_text().replace('/bin/sh -c "$command"', f'{shell} -c "$command"'))
        (self.files.home / start_up).write_text(text)


@pytest.fixture
def fresh(tmp_path: Path, ssh_hosts: MakeHosts) -> Fresh:
    """A fresh host."""
    fleet = ssh_hosts(1, "openssh")
    return Fresh(tmp_path, fleet, fleet.hosts[0].files.deploy_to)


@pytest.fixture
def host(fresh: Fresh) -> Path:
    """A fresh host's deploy_to."""
    return fresh.root


def newest_here() -> remote.Python:
    """Return the interpreter that setup finds on a host of this machine, where sshd sets PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games")
        return remote.interpreters({"oldest": OLDEST_ON_HOSTS, "newest": NEWEST, "places": PLACES, "python": ""})[0]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels that a host needs, as a user gets them, for the interpreter that setup finds here."""
    folder = tmp_path_factory.mktemp("wheels")
    pip = [newest_here().path, "-m", "pip", "download", "-q", "--only-binary", ":all:", "-d", str(folder)]
    subprocess.run([*pip, *own_wheel().requirements], check=True, capture_output=True, timeout=170)
    return folder


@pytest.fixture
def wheelhouse(tmp_path: Path, wheels: Path) -> Path:
    """A wheelhouse of the test's own."""
    return Path(shutil.copytree(wheels, tmp_path / "wheels"))


@pytest.mark.timeout(600)
def test_a_fresh_host_is_set_up_from_a_wheelhouse_and_then_answers(
    tmp_path: Path, host: Path, wheelhouse: Path
) -> None:
    # Given a host without the tool: status names the task to run
    assert "fab karafka.setup" in fab(tmp_path, "karafka.status", code=4).stdout
    # When it is set up without a registry
    done = run(tmp_path, "karafka.setup", "--wheelhouse", str(wheelhouse))
    # Then the folders are there, the host knows its key, and the agent answers
    assert done.returncode == 0, done.stderr
    newest = newest_here()
    assert f"web1: set up, {newest}" in done.stdout
    for folder in ("releases", "repo", "shared/releases", "shared/tmp/pids", "shared/tmp/slots", "shared/log"):
        assert (host / folder).is_dir()
    assert json.loads((host / "shared/karafka-ops-host.json").read_text()) == {"host": "web1", "stage": "test"}
    fab(tmp_path, "karafka.status", code=3)
    # And it is this very build, in a venv of its own
    link = host / "shared/karafka-ops"
    code = "from ops.fleet.setup.wheel import own_wheel; print(own_wheel().digest)"
    argv = [sys.executable, "-c", code]
    said = subprocess.run(argv, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=True)
    assert json.loads((link / "karafka-ops.json").read_text())["digest"] == said.stdout.strip()
    code = "import ops; print(ops.__version__, ops.__file__)"
    argv = [str(link / "bin/python"), "-I", "-c", code]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert str(link.parent) in said.stdout
    # When it is set up again
    before = link.readlink()
    done = run(tmp_path, "karafka.setup", "--wheelhouse", str(wheelhouse), "--json")
    # Then nothing is done, and it says so
    assert json.loads(done.stdout)["hosts"] == [
        {"host": "web1", "ok": True, "message": f"already set up with this version, {newest}"}
    ]
    assert link.readlink() == before


@pytest.mark.timeout(300)
def test_a_setup_that_fails_leaves_nothing_behind_and_one_that_was_damaged_is_mended(
    fresh: Fresh, wheelhouse: Path, wheels: Path
) -> None:
    # Given a wheelhouse that lacks what a requirement requires
    fresh.with_pip_at_hand()
    setup = ("karafka.setup", "--wheelhouse", str(wheelhouse))
    for wheel in wheelhouse.glob("crc32c*"):
        wheel.unlink()
    # When the host is set up
    done = fab(fresh.folder, *setup, code=1)
    # Then it says what is missing, and there is no half of a venv
    assert "crc32c" in done.stderr
    assert "wheelhouse" in done.stderr
    shared = fresh.root / "shared"
    left = ["karafka-ops-host.json", "karafka-ops.lock"]
    assert sorted(path.name for path in shared.glob("karafka-ops*")) == left
    # When it is there, and what was made of it is damaged
    shutil.copytree(wheels, wheelhouse, dirs_exist_ok=True)
    fab(fresh.folder, *setup)
    link = shared / "karafka-ops"
    before = link.readlink()
    (link / "karafka-ops.json").write_text("{}")
    fab(fresh.folder, *setup)
    # Then a new venv takes its place in one step
    assert link.readlink() != before
    fab(fresh.folder, "karafka.status", code=3)


def test_a_wheelhouse_without_a_requirement_is_refused_before_any_host_is_reached(tmp_path: Path, host: Path) -> None:
    # Given a folder without wheels
    (tmp_path / "wheels").mkdir()
    # When it is to be the wheelhouse
    done = fab(tmp_path, "karafka.setup", "--wheelhouse", "wheels", code=2)
    # Then the command that fills it is named
    assert "pip download" in done.stderr
    assert not (host / "shared").exists()


@needs(TCSH)
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_host_with_csh_and_an_odd_folder_is_set_up_and_does_what_it_is_asked(fresh: Fresh, wheelhouse: Path) -> None:
    # Given a host whose users log in by tcsh, which sets the window's title without a line end
    tcsh = find("tcsh")
    assert tcsh is not None
    fresh.log_in_by(tcsh, ".tcshrc", f"printf '{TITLE}'\n")
    # And an application whose folder has all that shells read in their own ways
    fresh.root = fresh.root.with_name('it\'s my "app" ! $HOME `id`')
    fresh.settings()
    # When it is set up, and its processes are started and stopped under the lease
    setup = run(fresh.folder, "karafka.setup", "--wheelhouse", str(wheelhouse))
    (fresh.root / "releases" / "1").mkdir()
    (fresh.root / "current").symlink_to(fresh.root / "releases" / "1")
    done = [run(fresh.folder, f"karafka.{verb}") for verb in ("start", "restart", "status", "stop")]
    # Then all of it is done as on any other host
    assert setup.returncode == 0, setup.stderr
    assert [one.returncode for one in done] == [0, 0, 0, 0], [one.stderr for one in done]


def test_what_bash_prints_at_its_start_without_a_line_end_hides_no_answer(fresh: Fresh) -> None:
    # Given a host that has the tool, whose .bashrc sets the window's title
    fresh.settings(agent_python=sys.executable)
    fresh.log_in_by("bash", ".bashrc", f"echo -ne '{TITLE}'\n")
    (fresh.root / "releases" / "1").mkdir(parents=True)
    (fresh.root / "current").symlink_to(fresh.root / "releases" / "1")
    # When commands under the lease ask it, by one agent that stays or by many
    # Then it answers
    for verb in ("start", "status", "stop"):
        fab(fresh.folder, f"karafka.{verb}")


def test_a_host_where_the_folder_cannot_be_made_says_so(tmp_path: Path, host: Path) -> None:
    # Given a host where a file is in the way (root may write everywhere else)
    host.rmdir()
    host.write_text("in the way")
    (tmp_path / "wheels").mkdir()
    for name in ("psutil", "kafka_python"):
        (tmp_path / "wheels" / f"{name}-1-py3-none-any.whl").touch()
    # When it is set up
    done = fab(tmp_path, "karafka.setup", "--wheelhouse", "wheels", code=1)
    # Then it says what could not be made
    assert f"{host}" in done.stderr
    assert "cannot be made" in done.stderr


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_root_sets_up_and_works_where_another_user_could_change_everything(fresh: Fresh, wheelhouse: Path) -> None:
    # Given a folder of another user's, who has a tool of their own there already
    require(ROOT)
    host = RootHost()
    place, planted = Path(roots_folder(str(host.root))), host.shared / "karafka-ops" / "bin" / "python"

    def plant() -> None:
        planted.parent.mkdir(parents=True)
        planted.write_text("#!/bin/sh\nid -u >>/tmp/$PPID\n")
        planted.chmod(0o755)

    as_service(plant)
    fresh.root = host.root
    fresh.settings(command=["sleep", "600"])
    try:
        # When root asks how it is, then it runs nothing of that, and says what to do
        done = fab(fresh.folder, "karafka.status", code=4)
        assert f"user {SERVICE} can change {host.root}" in done.stdout
        assert "fab karafka.setup" in done.stdout
        # When root sets it up, starts a process and looks
        assert run(fresh.folder, "karafka.setup", "--wheelhouse", str(wheelhouse)).returncode == 0
        fab(fresh.folder, "karafka.start")
        report = json.loads(fab(fresh.folder, "karafka.status", "--json").stdout)["hosts"][0]["processes"][0]
        # Then the tool is root's, the process is the owner's, and so is all that is below the folder
        assert {path.lstat().st_uid for path in place.rglob("*")} == {0}
        assert Path(f"/proc/{report['pid']}").stat().st_uid == SERVICE
        assert {path.lstat().st_uid for path in host.root.rglob("*")} == {SERVICE}
        fab(fresh.folder, "karafka.stop")
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with suppress(OSError):  # another application's is there, too
            place.parent.rmdir()
        host.close()
