"""A command is looked at before anything is stopped for it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.keeping import PIDFILE, SYSTEMD
from ops.core.process import ProcessSpec
from ops.core.slot import Slot, SlotFiles
from ops.node.startable import trouble


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
        ("bytes", "\x7fELF", 0o755),
    ):  # fmt: skip
        (release / name).write_text(text)
        (release / name).chmod(mode)
    (tmp_path / "current").symlink_to(release)
    files = SlotFiles.below(str(tmp_path / "shared"), "tmp/pids/karafka.pid", Slot("karafka", 0))
    return ProcessSpec("karafka-0", ("./run",), str(tmp_path / "current"), files, {})


@pytest.mark.parametrize("command", ["./run", ".venv/bin/python", "./found", "./bytes", "sh", sys.executable])
def test_a_command_that_can_be_started_is_no_trouble(spec: ProcessSpec, command: str) -> None:
    # Given a script, a link, a program of PATH, a path
    assert trouble(replace(spec, command=(command, "consumer.py"))) == ""


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


def test_path_is_that_of_the_process(spec: ProcessSpec) -> None:
    # Given a program that lies where only the process's own PATH leads, relative to its folder
    bare = replace(spec, command=("python", "consumer.py"), env={"PATH": ".venv/bin"})
    assert trouble(bare) == ""
    assert "PATH" in trouble(replace(bare, command=("run",)))


def test_what_else_a_start_needs_is_looked_at_too(spec: ProcessSpec, tmp_path: Path) -> None:
    # Given a folder that is not there, and an env file that others may read
    assert "there is no folder" in trouble(replace(spec, directory=str(tmp_path / "nowhere")))
    secrets = tmp_path / "karafka.env"
    secrets.write_text("A=1\n")
    secrets.chmod(0o644)
    open_to_all = replace(spec, env_file=str(secrets))
    assert "mode 0644" in trouble(open_to_all, PIDFILE)
    # And systemd reads such a file all the same
    assert trouble(open_to_all, SYSTEMD) == ""
