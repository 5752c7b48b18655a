"""What is said of a host that cannot be reached: the cause first, then a command that can be pasted."""

from __future__ import annotations

import errno

import pytest

from ops.fleet.transport.failures import Way, add_command, explain, remove_command
from ops.fleet.transport.login import LoginError


def way(address: str, port: int, file: str, via: str | None = None, alias: str = "") -> Way:
    return Way("web1", address, port, "deploy", via, file, 10.0, alias)


def test_the_commands_can_be_pasted() -> None:
    # When names and files have blanks
    # Then they are quoted; a leading ~/ stays for the shell
    assert add_command(way("web1", 22, "~/.ssh/known_hosts")) == "ssh-keyscan web1 >> ~/.ssh/known_hosts"
    through = way("10.0.0.1", 2222, "/a b/k", via="jump")
    assert add_command(through) == "ssh jump ssh-keyscan -p 2222 10.0.0.1 >> '/a b/k'"
    assert remove_command(way("web1", 2222, "~/k h")) == "ssh-keygen -R '[web1]:2222' -f ~/'k h'"


def test_a_host_with_an_alias_is_added_and_removed_under_it() -> None:
    # Given a host that ssh_config gives a HostKeyAlias
    known = way("10.0.0.1", 22, "/k", alias="fleet")
    # Then the commands are about the alias
    assert add_command(known) == "ssh-keyscan 10.0.0.1 | sed 's/^[^ #]*/fleet/' >> /k"
    assert remove_command(known) == "ssh-keygen -R fleet -f /k"


@pytest.mark.parametrize(
    ("error", "begin", "hint"),
    [
        (LoginError(0, ("the key /k cannot be read: No such file or directory",)), "the key /k cannot be read", "-i"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/etc/x"), "/etc/x: No such file", "that file"),
        (PermissionError(errno.EACCES, "Permission denied", "/etc/x"), "/etc/x: Permission denied", "that file"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable", "is its address right?"),
        (OSError(errno.EMFILE, "Too many open files"), "the connection failed: Too many open files", "sshd's log"),
    ],
)
def test_the_cause_comes_first_and_the_remedy_is_for_it(error: Exception, begin: str, hint: str) -> None:
    told = explain(error, way("10.0.0.1", 22, "/k"))
    assert told.what.startswith(begin)
    assert hint in told.hint
    assert ("address" in told.hint) == ("unreachable" in begin)
