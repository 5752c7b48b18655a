"""Who runs this: a container or a CI runner may be a number that no account has."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

import pytest

from ops.core.accounts import has_account, home_path, user_name
from ops.core.errors import UsageError
from ops.fleet.lease_host import own_name
from ops.fleet.tasks.deploying import _performer
from ops.sandbox import openssh
from ops.sandbox.hosts import best_server
from ops.sandbox.jars import cache_directory

NOBODYS = next(number for number in range(4_000_000, 5_000_000) if number not in {one.pw_uid for one in pwd.getpwall()})
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME", "HOME", "XDG_CACHE_HOME", "GITHUB_ACTOR", "GITLAB_USER_LOGIN")


@pytest.fixture
def number(monkeypatch: pytest.MonkeyPatch) -> int:
    """A user without an account, and without an environment that tells anything."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: NOBODYS)
    with pytest.raises((KeyError, OSError)):  # the second one since Python 3.13
        getpass.getuser()
    return NOBODYS


def test_whoever_has_an_account_is_named_by_it_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "somebody-else")
    assert user_name() == pwd.getpwuid(os.getuid()).pw_name
    assert has_account()


def test_a_number_without_an_account_has_a_name_all_the_same(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Then it is known by its number, where who did what is kept
    assert user_name() == _performer() == str(number)
    assert own_name().startswith(f"{number}@")
    # And by what the environment says, if that says anything
    monkeypatch.setenv("USER", "runner")
    assert user_name() == "runner"
    assert not has_account()


@pytest.mark.usefixtures("number")
def test_without_an_account_the_sandbox_takes_the_server_that_lets_it_in(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an sshd, which lets nobody in that it has no account for
    monkeypatch.setattr(openssh, "find_sshd", lambda: "/usr/sbin/sshd")
    assert best_server() == "asyncssh"


@pytest.mark.usefixtures("number")
def test_a_path_below_a_home_that_nobody_knows_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [home_path(name) for name in ("~/x", "~nobody-of-this-name/x", "/a/~", "x")] == [
        "~/x",
        "~nobody-of-this-name/x",
        "/a/~",
        "x",
    ]
    # And where something would be made there, it is refused with what helps
    with pytest.raises(UsageError, match="XDG_CACHE_HOME"):
        cache_directory()
    monkeypatch.setenv("HOME", "/home/of/it")
    assert cache_directory() == Path("/home/of/it/.cache/karafka-ops")
