"""A command is looked at before anything is stopped for it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.keeping import PIDFILE, SUPERVISOR, SYSTEMD
from ops.core.process import ProcessSpec
from ops.core.slot import Slot, SlotFiles
from ops.node import executable
from ops.node.startable import trouble
from tests.labs.parts import ROOT, require

PYTHON = ".venv/bin/python"


@pytest.fixture
def spec(tmp_path: Path) -> ProcessSpec:
    """A process whose release has a script, a link and a program."""
    release = tmp_path / "releases" / "1"
    (release / ".venv" / "bin").mkdir(parents=True)
    (release / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (release / ".venv" / "bin" / "python9").symlink_to("/opt/python9/bin/python9")
    for name, text, mode in (
        ("run", "#!/bin/sh\n", 0o755),
        ("closed", "#!/bin/sh\n", 0o644), ("stale", "#!/opt/gone/bin/python\n", 0o755),
        ("found", "#!/usr/bin/env sh\n", 0o755), ("lost", "#!/usr/bin/env pyhton\n", 0o755),
        ("bytes", "\x7fELF", 0o755), ("split", "#!/usr/bin/env -S sh -e\n", 0o755), ("consumer.py", "", 0o644),
        ("empty", "", 0o755), ("text", "echo hi\n", 0o755), ("marked", "\ufeff#!/bin/sh\n", 0o755),
        ("windows", "#!/bin/sh\r\n", 0o755), ("twice", "#!./stale\n", 0o755), ("round", "#!./round\n", 0o755),
        ("split-lost", "#!/usr/bin/env -S pyhton -u\n", 0o755), ("shop.py", "", 0o644),
        ("by-env", "#!/usr/bin/env ./text\n", 0o755),
    ):  # fmt: skip
        (release / name).write_text(text)
        (release / name).chmod(mode)
    (release / "foreign").write_bytes(b"\x7fELF" + bytes(14) + b"\xff\x7f" + bytes(9))
    (release / "foreign").chmod(0o755)
    (release / "names").mkdir()
    (release / "names" / "work.py").touch()
    (release / "stock").mkdir()
    (release / "stock" / "__init__.py").touch()
    (release / "stock" / "work.py").touch()
    (tmp_path / "current").symlink_to(release)
    files = SlotFiles.below(str(tmp_path / "shared"), "tmp/pids/karafka.pid", Slot("karafka", 0))
    return ProcessSpec("karafka-0", ("./run",), str(tmp_path / "current"), files, {})


@pytest.mark.usefixtures("no_other_formats")
@pytest.mark.parametrize(
    "command", ["./run", ".venv/bin/python", "./found", "./bytes", "./split", "sh", sys.executable]
)
def test_a_command_that_can_be_started_is_no_trouble(spec: ProcessSpec, command: str) -> None:
    # Given a script, a link, a program of PATH, a path
    assert trouble(replace(spec, command=(command, "consumer.py"))) == ""


@pytest.mark.usefixtures("no_other_formats")
@pytest.mark.parametrize(
    ("command", "why"),
    [
        (".venv/bin/pyhton", "there is no such file"),
        (".venv/bin/python9", "it leads to /opt/python9/bin/python9, which is not there"),
        (".venv", "is not in any folder of PATH"),
        ("./.venv", "it is no file"),
        ("./closed", "it is not executable"),
        ("./stale", "its interpreter is /opt/gone/bin/python: there is no such file"),
        ("./lost", "its interpreter is pyhton: it is not in any folder of PATH"),
        ("./empty", "it is no program, nor a script that begins with #!"),
        ("./text", "it is no program, nor a script"),
        ("./marked", "it is no program, nor a script"),
        ("./foreign", "it was made for another kind of machine"),
        ("./windows", "its interpreter is /bin/sh\r: there is no such file"),
        ("./twice", "its interpreter is ./stale: its interpreter is /opt/gone/bin/python: there is no such file"),
        ("./round", "scripts without an end"),
        ("./split-lost", "its interpreter is pyhton: it is not in any folder of PATH"),
        ("pyhton", "is not in any folder of PATH"),
        ("", "is not in any folder of PATH"),
    ],
)
def test_a_command_that_cannot_be_started_says_why(spec: ProcessSpec, command: str, why: str) -> None:
    # Given a misspelt name, a broken link, a folder, a script that nobody may run or whose interpreter is gone
    if "closed" in command and os.geteuid() == 0:
        why = "it is not executable"  # root needs an x bit, too
    found = trouble(replace(spec, command=(command, "consumer.py")))
    assert why in found
    assert f"the command {command}" in found


@pytest.fixture
def no_other_formats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel that was told of no formats of programs beside its own."""
    monkeypatch.setattr(executable, "_OTHER_FORMATS", tmp_path / "none")


@pytest.mark.usefixtures("no_other_formats")
@pytest.mark.parametrize(
    "command",
    [
        (PYTHON, "-u", "-X", "dev", "consumer.py"), (PYTHON, "-m", "shop"), (PYTHON, "-m", "stock.work", "x"),
        (PYTHON, "-um", "anything"), (PYTHON, "-c", "pass"), (PYTHON, "-m", "http.server"), (PYTHON, "-"),
        ("sh", "-e", "nothing"), ("sh", "ls"), ("sh", "consumer.py"), ("env", "-i", "A=b", "sh"),
        ("env", "PATH=/x", "pyhton"), ("nice", "-n", "5", "./run"), ("timeout", "-k", "1", "5", "./run"),
        ("env", "-S", "pyhton"), ("setsid", "--wait", "pyhton"), ("nohup", "./run"),
        (PYTHON, "-uW", "error", "consumer.py"), (PYTHON, "-BX", "dev", "-m", "shop"), ("bash", "+x", "nothing"),
        ("env", "-iS", "pyhton -u"), ("env", "-vC", "/", "./nothing"), ("env", "--chdir=/", "./nothing"),
        ("env", "-iu", "HOME", "./run"), ("timeout", "-vk", "1", "5", "./run"), ("env", "A=b", "./text"),
        ("nohup", "nice", "./empty"), ("./by-env",), (PYTHON, "-m", "names.work"), (PYTHON, "names"),
    ],
)  # fmt: skip
def test_what_may_be_there_is_no_trouble(spec: ProcessSpec, command: tuple[str, ...]) -> None:
    # Given commands whose scripts, modules and programs are there, or cannot be told by their words
    assert trouble(replace(spec, command=command)) == ""


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ((PYTHON, "consumr.py"), "there is no consumr.py"),
        ((PYTHON, "-u", "-W", "error", "bin/consumr.py"), "there is no bin/consumr.py"),
        ((PYTHON, "-m", "shopp"), "there is no module shopp"),
        ((PYTHON, "-u", "-m", "shopp.work"), "there is no module shopp.work"),
        ((PYTHON, "-m", "stock.wrok"), "there is no module stock.wrok"),
        (("sh", "run.sh"), "there is no run.sh"),
        (("env", "A=b", "-u"), "the command -u is not in any folder of PATH"),
        (("env", "-u", "HOME", "A=b", "pyhton"), "the command pyhton is not in any folder of PATH"),
        (("nice", "-n", "5", "./stale"), "its interpreter is /opt/gone/bin/python"),
        (("timeout", "-s", "TERM", "5m", "nohup", PYTHON, "-m", "shopp"), "there is no module shopp"),
    ],
)
def test_what_an_interpreter_or_a_wrapper_would_look_for_in_vain_is_said(
    spec: ProcessSpec, command: tuple[str, ...], why: str
) -> None:
    # Given a script, a module or a program that is not there, behind what is
    assert why in trouble(replace(spec, command=command))


def test_a_module_is_looked_for_with_the_environment_of_the_process(spec: ProcessSpec, tmp_path: Path) -> None:
    # Given a module that lies where PYTHONPATH alone leads
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "apart.py").touch()
    apart = replace(spec, command=(PYTHON, "-m", "apart"))
    # Then it is there with that, and not in an isolated interpreter
    own = {"PYTHONPATH": str(tmp_path / "more")}
    assert trouble(replace(apart, env=own)) == ""
    assert trouble(replace(apart, env=own), SYSTEMD) == ""
    assert "no module apart" in trouble(apart)
    assert "no module apart" in trouble(replace(apart, env=own, command=(PYTHON, "-I", "-m", "apart")))


def test_path_is_that_of_the_process(spec: ProcessSpec) -> None:
    # Given a program that lies where only the process's own PATH leads, relative to its folder
    bare = replace(spec, command=("python", "consumer.py"), env={"PATH": ".venv/bin"})
    assert trouble(bare) == ""
    assert "PATH" in trouble(replace(bare, command=("run",)))


def test_a_shell_takes_a_script_of_path_that_nobody_may_execute(spec: ProcessSpec, tmp_path: Path) -> None:
    # Given a script of mode 0644 in a folder of PATH
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "begin").touch()
    assert trouble(replace(spec, command=("bash", "begin"), env={"PATH": f"{tmp_path}/more:/usr/bin:/bin"})) == ""


@pytest.mark.parametrize("kind", [SUPERVISOR, SYSTEMD])
def test_what_a_manager_may_find_by_a_path_of_its_own_is_not_held_against_a_command(
    spec: ProcessSpec, tmp_path: Path, kind: str
) -> None:
    # Given commands that are in no folder of the agent's PATH, but may be in one of the manager's
    (tmp_path / "releases" / "1" / "by-node").write_text("#!/usr/bin/env nodee\n")
    (tmp_path / "releases" / "1" / "by-node").chmod(0o755)
    for command in (("uvv", "run", "shop"), ("nohup", "uvv", "run"), ("./by-node",)):
        assert "is not in any folder of PATH" in trouble(replace(spec, command=command))
        assert trouble(replace(spec, command=command), kind) == ""
    # And what is named by a path is held against it all the same
    assert "there is no such file" in trouble(replace(spec, command=("./uvv",)), kind)


def test_what_is_closed_to_this_user_is_no_trouble_and_no_error(spec: ProcessSpec, tmp_path: Path) -> None:
    # Given a user who may not enter a folder of PATH, as root's is for those whom `su` left root's PATH
    require(ROOT)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    spec = replace(spec, directory="/", env={"PATH": f"{closed}:/usr/bin:/bin"})
    os.seteuid(64077)
    try:
        found = [
            trouble(replace(spec, command=command), kind)
            for command in (
                ("ls",),
                (f"{closed}/run",),
                ("sh", f"{closed}/run"),
                ("env", f"{closed}/run"),
                ("x" * 300,),
            )
            for kind in (PIDFILE, SYSTEMD)
        ]
    finally:
        os.seteuid(0)
    # Then all of it may be there for whoever needs it, but a name that nothing can have
    assert set(found[:8]) == {""}


def test_what_else_a_start_needs_is_looked_at_too(spec: ProcessSpec, tmp_path: Path) -> None:
    # Given a folder that is not there, and an env file that others may read
    assert "there is no folder" in trouble(replace(spec, directory=str(tmp_path / "nowhere")))
    secrets = tmp_path / "karafka.env"
    secrets.write_text("A=1\n")
    secrets.chmod(0o644)
    open_to_all = replace(spec, env_file=str(secrets))
    assert "mode 0644" in trouble(open_to_all, PIDFILE)
    # And so it is whoever starts the process: the shim and the wrapper read it, too
    assert "mode 0644" in trouble(open_to_all, SYSTEMD)
    assert "mode 0644" in trouble(open_to_all, SUPERVISOR)


def test_an_env_file_of_the_user_who_runs_the_process_is_not_judged_by_another_one(
    spec: ProcessSpec, tmp_path: Path
) -> None:
    # Given a unit of another user's than the agent's, and that one's env file
    require(ROOT)
    secrets = tmp_path / "karafka.env"
    secrets.write_text("A=1\n")
    secrets.chmod(0o600)
    os.chown(secrets, 64077, 64077)
    # Then it speaks against a start by the agent, and not by systemd
    assert "belongs to user 64077" in trouble(replace(spec, env_file=str(secrets)), PIDFILE)
    assert trouble(replace(spec, env_file=str(secrets)), SYSTEMD) == ""
