from __future__ import annotations

from pathlib import Path

import pytest

from bench import peers


@pytest.fixture
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any peer; gives the folder that is its PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(peers, "_SBIN", ())
    monkeypatch.setattr(peers, "VENV", tmp_path / "venv")
    return programs


def test_peers_are_installed_into_a_venv_of_their_own(nothing_there: Path) -> None:
    # Given a machine without peers
    # When the commands that install the Python ones are asked for
    make, install = peers.pip_commands("python3")
    # Then they make the peers' venv and install there, Debian's packages not among them
    assert make == ["python3", "-m", "venv", str(nothing_there.parent / "venv")]
    assert install[0] == str(nothing_there.parent / "venv" / "bin" / "pip")
    assert any(word.startswith("faststream[confluent]") for word in install)
    assert not any(word.startswith("openssh") for word in install)


def test_only_debian_packages_that_are_missing_are_installed(nothing_there: Path) -> None:
    # Given a machine without peers
    assert peers.apt_commands()[-1][-2:] == ["openssh-client", "openssh-server"]
    # When one of the programs is there
    program = nothing_there / "ssh"
    program.write_text("#!/bin/sh\necho OpenSSH_9.9p9, built today >&2\n")
    program.chmod(0o755)
    # Then only the other one's package is wanted, and the one that is there tells its version
    assert peers.apt_commands()[-1][-3:] == ["capistrano", "redis-server", "openssh-server"]
    assert peers.version_of(peers.peer("OpenSSH's client")) == "OpenSSH_9.9p9"
    assert peers.version_of(peers.peer("OpenSSH's server")) == ""


def test_without_root_the_command_to_type_is_named(nothing_there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a Debian where a user without root installs the peers, whose pip does nothing
    (nothing_there / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    (nothing_there / "apt-get").chmod(0o755)
    monkeypatch.setattr(peers.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(peers, "pip_commands", list)
    # When they are installed
    problems = peers.install()
    # Then what is left to do is said as a command
    assert len(problems) == 1
    assert problems[0].startswith("not root: sudo apt-get")
    assert problems[0].endswith("openssh-client openssh-server")


def test_an_installation_that_fails_says_which_command_and_why(
    nothing_there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an apt-get that fails
    (nothing_there / "apt-get").write_text("#!/bin/sh\necho no network\nexit 100\n")
    (nothing_there / "apt-get").chmod(0o755)
    monkeypatch.setattr(peers.os, "geteuid", lambda: 0)
    monkeypatch.setattr(peers, "pip_commands", list)
    # When the peers are installed
    problems = peers.install()
    # Then the first command that failed is named with what it said, and none after it was tried
    assert len(problems) == 1
    assert "update exited with 100" in problems[0]
    assert "no network" in problems[0]
