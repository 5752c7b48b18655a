"""How an agent is started on a host: what no other user could have put there, as the user that works there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import SettingsError
from ops.core.section import from_environment, load, override
from ops.fleet import agent_command as commands
from ops.fleet import setup
from ops.fleet.agent_command import agent_command, by_sudo, interpreter_of, shown, sudo_refusal
from ops.fleet.plan import agent_of
from ops.fleet.transport.quoting import line_of
from tests.labs.parts import ROOT, require

OTHER = 64077


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A root's place of the test's own, and a umask as a log-in may have it."""
    monkeypatch.setattr(commands, "roots_folder", lambda _: str(tmp_path / "place"))
    before = os.umask(0o022)
    yield tmp_path / "place"
    os.umask(before)


def tool(folder: Path, says: str) -> Path:
    """Put what looks like the tool's interpreter into a folder, behind a link as setup leaves it."""
    (folder / "karafka-ops-1" / "bin").mkdir(parents=True)
    python = folder / "karafka-ops-1" / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho {says} "$@"\n')
    python.chmod(0o755)
    (folder / "karafka-ops").symlink_to("karafka-ops-1")
    return folder / "karafka-ops" / "bin" / "python"


def run(root: Path, python: str = "shared/karafka-ops/bin/python") -> subprocess.CompletedProcess[str]:
    return execute(agent_command(python, str(root), None))


def execute(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    line = line_of(argv)  # as any log-in shell gets it
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, timeout=20, check=False)


def test_a_tool_of_ones_own_is_run(tmp_path: Path, place: Path) -> None:
    # Given a tool that nobody else could have changed, in a folder with a blank and a quote in its name
    root = tmp_path / "it's an app!"
    tool(root / "shared", "own")
    # When it is started
    done = run(root)
    # Then it is that one, with all its arguments
    assert (done.stdout, done.stderr) == ("own -I -m ops.node\n", "")
    assert not place.exists()


@pytest.mark.parametrize("where", ["shared", "shared/karafka-ops-1", "shared/karafka-ops-1/bin", "."])
def test_root_never_runs_what_another_user_could_have_put_there(tmp_path: Path, place: Path, where: str) -> None:
    # Given a tool below a folder of another user's
    require(ROOT)
    tool(tmp_path / "app" / "shared", "planted")
    os.chown(tmp_path / "app" / where, OTHER, OTHER)
    # When root starts it
    done = run(tmp_path / "app")
    # Then it is not run, which is said with the user and the folder
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith(f"user {OTHER} can change {tmp_path}")
    said = done.stderr.partition(" can change ")[2].partition(",")[0]
    assert (tmp_path / "app" / where).samefile(said)
    # And root runs its own, once there is one
    tool(place, "roots")
    assert run(tmp_path / "app").stdout == "roots -I -m ops.node\n"
    # And not even that where another user could have changed it
    os.chown(place / "karafka-ops-1", OTHER, OTHER)
    assert run(tmp_path / "app").returncode == 126


@pytest.mark.parametrize(("mode", "code"), [(0o777, 126), (0o775, 126), (0o1777, 0), (0o755, 0)])
def test_a_folder_that_others_may_write_to_is_anybodys(tmp_path: Path, place: Path, mode: int, code: int) -> None:
    # Given a tool of root's below a folder that others may write to, or a sticky one
    require(ROOT)
    tool(tmp_path / "app" / "shared", "own")
    (tmp_path / "app").chmod(mode)
    os.chown(tmp_path / "app", 0, OTHER)
    # Then it is run where nobody could have put another one in its place
    assert run(tmp_path / "app").returncode == code
    assert not place.exists()


def test_a_link_to_what_is_anybodys_is_seen_through(tmp_path: Path, place: Path) -> None:
    # Given a link to another user's folder, and an interpreter that is a link to another user's file
    require(ROOT)
    tool(tmp_path / "theirs", "planted")
    os.chown(tmp_path / "theirs", OTHER, OTHER)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "shared").symlink_to(tmp_path / "theirs")
    python = tool(tmp_path / "mine", "mine")
    python.unlink()
    python.symlink_to(tmp_path / "theirs" / "karafka-ops-1" / "bin" / "python")
    # Then neither is run
    assert run(tmp_path / "app").returncode == 126
    assert run(tmp_path / "app", str(python)).returncode == 126
    assert not place.exists()


def test_a_link_that_another_user_may_turn_is_not_followed_to_what_is_roots(tmp_path: Path, place: Path) -> None:
    # Given a folder of root's, which a link of root's leads to by one in another user's folder
    require(ROOT)
    tool(tmp_path / "roots" / "shared", "own")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "app").symlink_to(tmp_path / "roots")
    os.chown(tmp_path / "home", OTHER, OTHER)
    (tmp_path / "app").symlink_to("home/app")
    # Then nothing is run by it: the other user may turn it while root looks
    done = run(tmp_path / "app")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith(f"user {OTHER} can change {tmp_path / 'home'}, ")
    assert not place.exists()


def test_a_link_of_another_users_is_not_followed_where_a_sticky_folder_lets_it_stand(
    tmp_path: Path, place: Path
) -> None:
    # Given another user's link in a sticky folder, to what is root's
    require(ROOT)
    tool(tmp_path / "roots" / "shared", "own")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "tmp" / "app").symlink_to(tmp_path / "roots")
    os.chown(tmp_path / "tmp" / "app", OTHER, OTHER, follow_symlinks=False)
    # Then nothing is run by it: its owner may turn it while root looks
    done = run(tmp_path / "tmp" / "app")
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr.startswith(f"user {OTHER} can change {tmp_path / 'tmp' / 'app'}, ")
    assert not place.exists()


@pytest.mark.parametrize("name", ["a -> b", "a\nb", "a  b", "-n", "*", "$(id)", "a\\tb", "ä"])
def test_a_folder_of_any_name_is_looked_at_or_refused(tmp_path: Path, place: Path, name: str) -> None:
    # Given a tool behind a link, in a folder whose name could be taken for something else
    root = tmp_path / name
    tool(root / "shared", "own")
    # When it is started, its own and then one that anybody can change
    own = run(root)
    (root / "shared" / "karafka-ops-1").chmod(0o777)
    anybodys = run(root)
    # Then a name that cannot be told apart in a listing is refused, and no other one is
    assert own.stdout == "own -I -m ops.node\n" or (own.returncode == 126 and name in ("a -> b", "a\nb")), own
    assert (anybodys.returncode, anybodys.stdout) == (126, "")
    assert not place.exists()


@pytest.mark.parametrize("style", ["TIME_STYLE=long-iso", "TIME_STYLE=+%s", "QUOTING_STYLE=c", "LC_ALL=de_DE.UTF-8"])
def test_how_a_user_likes_listings_changes_nothing(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    # Given a tool behind a link, and a user's own way to list files
    monkeypatch.setenv(*style.split("=", 1))
    tool(tmp_path / "an app" / "shared", "own")
    # Then it is started, and is not where anybody can change what the link leads to
    assert run(tmp_path / "an app").stdout == "own -I -m ops.node\n"
    (tmp_path / "an app" / "shared" / "karafka-ops-1" / "bin").chmod(0o777)
    assert run(tmp_path / "an app").returncode == 126
    assert not place.exists()


def test_what_is_missing_is_said_as_a_shell_says_it(tmp_path: Path, place: Path) -> None:
    # Given nothing at all
    done = run(tmp_path)
    # Then it ends as a missing command does
    assert (done.returncode, done.stderr) == (127, f"{tmp_path}/shared/karafka-ops/bin/python: not found\n")
    assert not place.exists()


def test_an_interpreter_that_a_setting_names_is_looked_at_alike() -> None:
    # Given one that is nobody else's
    done = execute((*agent_command(sys.executable, "/srv/app", None)[:-2], "-c", "print(1)"))
    # Then it is run
    assert done.stdout == "1\n", done.stderr


def test_another_user_is_become_by_sudo() -> None:
    # Given a command for another user than the one who logs in
    argv = agent_command("shared/karafka-ops/bin/python", "/srv/app", "deploy")
    # Then all of it runs by sudo, without a password, in that user's home
    assert argv[:6] == ("sudo", "-n", "-H", "-u", "deploy", "--")
    assert argv[6:] == agent_command("shared/karafka-ops/bin/python", "/srv/app", None)
    # And people see neither the shell nor its script
    assert shown(argv) == "sudo -n -H -u deploy -- /srv/app/shared/karafka-ops/bin/python -I -m ops.node"
    assert interpreter_of(argv) == "/srv/app/shared/karafka-ops/bin/python"


@pytest.mark.parametrize(
    "complaint",
    [
        "sudo: a password is required",
        "sudo: sorry, you must have a tty to run sudo",
        "sudo: unknown user deploy",
        "Sorry, user me is not allowed to execute '/bin/sh' as deploy on web1.",
        "me is not in the sudoers file.",
        "sh: 1: sudo: not found",
        "bash: line 1: sudo: command not found",
    ],
)
def test_what_sudo_refuses_is_told_from_what_the_agent_says(complaint: str) -> None:
    # Given what sudo says where it does not run a command
    # Then that is said, with the user
    assert "deploy" in sudo_refusal((*by_sudo("deploy"), "true"), complaint)
    # And where nobody asked for it, it is none of sudo's
    assert not sudo_refusal(("true",), complaint)
    assert not sudo_refusal((*by_sudo("deploy"), "true"), "Traceback (most recent call last):")


@pytest.mark.parametrize(
    ("stage", "host", "environment", "user"),
    [
        ({}, {}, {}, None),
        ({"become": {"user": "deploy"}}, {}, {}, "deploy"),
        ({"become": {"user": "deploy"}}, {"become": {"user": "app"}}, {}, "app"),
        ({}, {}, {"FABRIC_KARAFKA_BECOME_USER": "deploy"}, "deploy"),
    ],
)
def test_who_works_on_a_host_is_said_by_the_host_the_stage_or_the_environment(
    stage: dict[str, Any], host: dict[str, Any], environment: dict[str, str], user: str | None
) -> None:
    # Given settings that name who works on hosts, or not
    own = {"application": "shop", "deploy_to": "/srv/shop", "command": "true"}
    section = {**own, "stages": {"test": {**stage, "hosts": [{"host": "web1", **host}]}}}
    made = load(override(section, from_environment(environment)))
    # Then the nearest one counts, for agents and for a setup alike
    argv = agent_of(made, made.hosts[0])
    assert argv[: len(by_sudo(user))] == by_sudo(user)
    assert ("sudo" in argv) == (user is not None)
    assert setup.make_setup(made, made.hosts).hosts[0].become == user


@pytest.mark.parametrize("user", ["", "-u root", "a b", "root\n"])
def test_what_is_no_user_is_no_setting(user: str) -> None:
    # Given something that sudo would take for more than a user
    own = {"application": "shop", "deploy_to": "/srv/shop", "command": "true", "become": {"user": user}}
    # Then it is refused before anything is connected
    with pytest.raises(SettingsError, match="become"):
        load({**own, "stages": {"test": {"hosts": [{"host": "web1"}]}}})
