"""`fab karafka.setup`: which interpreter of a host is taken, and what is said where none will do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.core.installation import SETUP_MARK as MARK_FILE
from ops.core.interpreters import NEWEST, OLDEST_ON_HOSTS
from ops.core.section import load
from ops.core.settings import Settings
from ops.fleet import setup
from ops.fleet.plan import target_of
from ops.fleet.setup import remote
from ops.fleet.setup.opening import MARK, PLACES, opening
from ops.fleet.transport.fake import Answer, FakeTransport
from ops.fleet.transport.local import LocalTransport
from tests.labs.parts import OWN_FOLDER, own_folder, require

# Answers both questions after its version, goes on with a script by a real one, and makes a venv or not: of itself.
FAKE = """#!/bin/sh
echo "$0" >>{log}
case "$*" in
*stdout.write*) printf {version} ;;
*base_prefix*) echo '["{path}", [{numbers}], {venv}]' ;;
*"-m venv"*) {makes} ;;
*"-m pip"* | *"import ops"*) ;;
*) exec {real} "$@" ;;
esac
"""
MAKES = 'mkdir -p "$4/bin"; cp "$0" "$4/bin/python"'


def fake(
    path: Path,
    version: str,
    *,
    venv: bool = False,
    makes: str = 'mkdir -p "$4/bin"; cp "$0" "$4/bin/python"',
    log: Path | str = "/dev/null",
) -> Path:
    """Put what looks like a Python of this version there; as what it was run goes to `log`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = ", ".join(version.split("."))
    words = {
        "version": version,
        "path": path,
        "numbers": numbers,
        "venv": str(venv).lower(),
        "makes": makes,
        "log": log,
    }
    path.write_text(FAKE.format(**words, real=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine without any Python: its root, whose bin/ is on PATH and whose opt/*/bin is looked into.

    It is in a folder that no other user may change: no interpreter anywhere else is run.
    """
    require(OWN_FOLDER)
    before = os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix=".karafka-ops-test-", dir=own_folder()) as folder:
        root = Path(folder)
        tools = root / "bin"
        tools.mkdir()
        for name in ("cp", "id", "ls", "mkdir", "readlink", "sleep", "timeout", "tr"):
            (tools / name).symlink_to(shutil.which(name) or name)
        monkeypatch.setenv("PATH", f"{tools}:relative:{root}/none")
        monkeypatch.setattr(setup, "PLACES", (f"{root}/opt/*/bin",))
        yield root
    os.umask(before)


def settings(host: Path, **more: Any) -> Settings:
    own = {"application": "shop", "deploy_to": str(host / "app"), "command": "true"}
    return load({**own, "stages": {"test": {"hosts": [{"host": "web1", **more}]}}})


def order(host: Path, python: str = "") -> dict[str, Any]:
    found = setup.make_setup(settings(host, **({"python": python} if python else {})), [settings(host).hosts[0]])
    data: dict[str, Any] = json.loads(json.dumps({**found.hosts[0].order, "python": python}))
    return data


def trouble(host: Path, **more: Any) -> str:
    """Set the host up, by its own shell; return what is in the way."""
    made = settings(host, **more)
    outcomes, code = setup.carry_out(setup.make_setup(made, made.hosts), LocalTransport(), lambda _: None)
    assert code == 1
    return str(outcomes[0].error)


def paths(found: list[remote.Python]) -> list[str]:
    return [one.path for one in found]


def test_the_newest_is_taken_wherever_it_is(host: Path) -> None:
    # Given interpreters on PATH and beside it; 3.10 is newer than 3.9
    old = fake(host / "bin/python3", "3.9.2")
    middle = fake(host / "bin/python3.10", "3.10.13")
    new = fake(host / "opt/py312/bin/python3.12", "3.12.1")
    # When they are looked for
    found = remote.interpreters(order(host))
    # Then the newest is the first, and each is there once
    assert paths(found) == [str(new), str(middle), str(old)]


def test_neither_too_old_nor_unproven_nor_a_venvs_interpreter_is_taken_by_itself(host: Path) -> None:
    # Given an old one, one that is newer than what is promised, and an application's venv
    fake(host / "bin/python3", "3.8.18")
    fake(host / "bin/python3.15", f"3.{NEWEST[1] + 1}.0")
    fake(host / "opt/app/bin/python3.12", "3.12.1", venv=True)
    good = fake(host / "opt/py/bin/python3", f"3.{OLDEST_ON_HOSTS[1]}.0")
    # When they are looked for
    # Then the only fit one is found
    assert paths(remote.interpreters(order(host))) == [str(good)]


def owned_by_another(path: Path, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be another user's: give it away, or be somebody else where only root may give."""
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        return
    (host / "bin/id").unlink()
    (host / "bin/id").write_text("#!/bin/sh\necho 12345\n")
    (host / "bin/id").chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)


CHANGES: dict[str, Callable[[Path], None]] = {
    "writable-by-its-group": lambda path: path.chmod(0o775),
    "writable-by-all": lambda path: path.chmod(0o757),
    "in-a-folder-of-its-group": lambda path: path.parent.chmod(0o775),
    "below-a-folder-as-tmp": lambda path: path.parent.parent.chmod(0o1777),
    "a-venvs-own": lambda path: (path.parent.parent / "pyvenv.cfg").touch(),
}


@pytest.mark.parametrize("linked", [False, True], ids=["there", "by-a-link"])
@pytest.mark.parametrize("kind", ["file-of-another", "folder-of-another", *CHANGES])
def test_nothing_is_run_that_another_user_may_have_put_there_unless_it_is_named(
    host: Path, monkeypatch: pytest.MonkeyPatch, kind: str, linked: bool
) -> None:
    # Given an interpreter that another user can change, or lead to site-packages of his own
    ran = host / "ran"
    theirs = fake(host / "opt/app/bin/python3", "3.8.18", log=ran)
    if kind in CHANGES:
        CHANGES[kind](theirs)
    else:
        owned_by_another(theirs if kind == "file-of-another" else theirs.parent.parent, host, monkeypatch)
    if linked:
        (host / "bin/python3").symlink_to(theirs)
    # When the host is set up, and by a good Python looked at for more
    said = trouble(host)
    found = remote.everywhere([str(theirs.parent)])
    # Then it was not run, and the operator is told so
    assert ("there is no python3" if kind == "a-venvs-own" else "python3 is left out because") in said
    assert found == []
    assert not ran.exists()
    # And it is, where a setting names it
    trouble(host, python=str(theirs))
    assert ran.exists()


def test_the_oldest_python_of_this_machine_finds_what_any_other_does() -> None:
    # Given the oldest interpreter of this machine that a host may have, and where they are
    places = [*PLACES, f"{os.environ.get('PYENV_ROOT', Path.home() / '.pyenv')}/versions/*/bin"]
    found = remote.interpreters({"oldest": OLDEST_ON_HOSTS, "newest": NEWEST, "places": places, "python": ""})
    # When it runs what a host is sent
    code = "import sys; exec(sys.stdin.read()); print(*(one.path for one in everywhere(sys.argv[1:])))"
    said = subprocess.run(
        [found[-1].path, "-I", "-c", code, *places],
        input=Path(remote.__file__).read_text(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    # Then it finds the same
    assert set(said.stdout.split()) >= {one.path for one in found}


def test_what_a_venv_links_to_is_run_by_the_name_that_it_has_outside_of_it(host: Path) -> None:
    # Given an application's venv whose interpreter is a link to a good one
    ran = host / "ran"
    good = fake(host / "good/python3.8", "3.8.18", log=ran)
    (host / "opt/app/bin").mkdir(parents=True)
    (host / "opt/app/pyvenv.cfg").touch()
    (host / "opt/app/bin/python3").symlink_to(good)
    # When the host is set up, and by a good Python looked at for more
    trouble(host)
    remote.everywhere([str(host / "opt/app/bin")])
    # Then the venv's own site-packages were never in play
    assert set(ran.read_text().splitlines()) == {str(good)}


def test_one_that_a_setting_names_is_taken_though_there_is_a_newer_one(host: Path) -> None:
    # Given two
    fake(host / "bin/python3", "3.12.1")
    named = fake(host / "elsewhere/python", "3.9.2")
    # When a setting names the older
    # Then that is the only one
    assert paths(remote.interpreters(order(host, str(named)))) == [str(named)]


def test_a_newer_one_without_venv_is_passed_over_and_said(host: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Given a newest one that breaks off its venv
    fake(host / "bin/python3.13", "3.13.0", makes='mkdir -p "$4"; echo No module named ensurepip >&2; exit 1')
    good = fake(host / "bin/python3.12", "3.12.1")
    # When a venv is made
    made = remote.first_venv(host / "venv", remote.interpreters(order(host)))
    # Then the next one made it, and the operator is told why
    assert made.path == str(good)
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.encode().startswith(MARK)]
    assert ["No module named ensurepip" in one["detail"] for one in said if one["step"] == "passed over"] == [True]


def test_a_venv_stays_until_the_tool_changes_or_another_interpreter_is_named_or_none_any_more(host: Path) -> None:
    # Given a host that was set up by the newest that it had, and got a newer one since
    newer: list[str] = []

    def set_up(python: str = "", digest: str = "d1") -> str:
        """Set the host up; return what its venv is of, and the venv's name."""
        made = {**order(host, python), "digest": digest}
        said = remote.main(made, setup.make_setup(settings(host), settings(host).hosts).load)
        newer.append(said["newer"])
        link = host / "app/shared/karafka-ops"
        assert said["python"].endswith(f"({json.loads((link / MARK_FILE).read_text())['python']})")
        return f"{said['python']} {link.readlink()}"

    old = fake(host / "bin/python3.10", "3.10.13")
    before = set_up()
    new = fake(host / "bin/python3.12", "3.12.1")
    # When it is set up again
    # Then nothing changes by itself
    assert str(old) in before
    assert set_up() == before
    # But the operator is told of the newer one
    assert newer[-2:] == ["", f"Python 3.12.1 ({new})"]
    # And the named one is taken, once
    named = set_up(str(new))
    assert str(new) in named
    assert named != before
    assert set_up(str(new)) == named
    # And when it is named no more the newest is, once
    newest = fake(host / "bin/python3.13", "3.13.0")
    free = set_up()
    assert str(newest) in free
    assert set_up() == free
    assert newer[-1] == ""
    # And one that is named by the name that it has is what was made
    assert set_up(str(newest)) == free
    # And another build of the tool, without a name, has the newest
    fake(host / "bin/python3.14", "3.14.0")
    assert "python3.14" in set_up(digest="d2")


def runs(program: str) -> Iterator[str]:
    """Yield the processes of a program."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(program.encode()):
                yield path.parent.name


@pytest.mark.parametrize("body", ["exec {0}/bin/sleep 170", "{0}/bin/sleep 170", "{0}/bin/sleep 170 & wait"])
def test_an_interpreter_that_does_not_answer_is_passed_over_with_all_it_began(
    host: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    # Given what has an interpreter's name and waits, and an old one after it
    monkeypatch.setattr(sys.modules[opening.__module__], "_TRY_SECONDS", 1)
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.3)
    waiting = host / "bin/python3"
    waiting.write_text(f"#!/bin/sh\n{body.format(host)}\n")
    waiting.chmod(0o755)
    old = fake(host / "bin/python3.8", "3.8.18")
    for look in (lambda: trouble(host), lambda: str(remote.everywhere([]))):
        # When the host is set up, or looked at by a good Python
        began = time.monotonic()
        said = look()
        # Then the next one is asked soon, and nothing goes on
        assert time.monotonic() - began < 30
        assert str(old) in said
        deadline = Deadline(10)
        while left := list(runs(f"{host}/bin/sleep")):
            assert not deadline.expired, left


def test_wheels_that_do_not_come_are_waited_for_without_the_lock_and_not_for_ever(
    host: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given an operator that sends a part of the wheels and no more
    monkeypatch.setattr(remote, "STEP_SECONDS", 1.0)
    reading, writing = os.pipe()
    os.write(writing, b"part")
    monkeypatch.setattr(remote, "received", lambda _, seconds, real=remote.received: real(reading, seconds))
    monkeypatch.setattr(remote.signal, "signal", lambda *_: None)
    # When the host is set up
    remote.begin(order(host))
    # Then it gives up, before it has touched anything
    assert "the wheels were not through within 1 s" in capfd.readouterr().out
    assert not (host / "app").exists()
    # And what has come to its end is whole
    os.close(writing)
    os.close(reading)
    (host / "wheels").write_bytes(b"part" * 200_000)
    with (host / "wheels").open("rb") as file:
        assert len(remote.received(file.fileno(), 20)) == 800_000


def test_wheels_that_came_in_part_are_said_so(host: Path) -> None:
    # Given a host, and an operator that went away while it sent
    fake(host / "bin/python3.12", "3.12.1")
    load = setup.make_setup(settings(host), settings(host).hosts).load
    # When the host is set up
    with pytest.raises(remote.RefusalError, match="did not come whole"):
        remote.main(order(host), load[: len(load) // 2])
    # Then nothing is left of it but whose the folder is
    left = {path.name for path in (host / "app/shared").glob("karafka-ops*")}
    assert left == {"karafka-ops.lock", "karafka-ops-host.json"}


def test_where_none_can_make_a_venv_each_says_why(host: Path) -> None:
    # Given two without venv
    for version in ("3.12.1", "3.9.2"):
        fake(host / f"bin/python{version[:-2]}", version, makes=f"echo broken {version}; exit 1")
    # When a venv is made
    with pytest.raises(remote.RefusalError, match=r"broken 3\.12\.1.*broken 3\.9\.2"):
        remote.first_venv(host / "venv", remote.interpreters(order(host)))
    # Then nothing is left
    assert not (host / "venv").exists()


def test_a_host_whose_pythons_are_too_old_says_which_and_what_to_do(host: Path) -> None:
    # Given an old one, by two names
    fake(host / "bin/python3", "3.6.15")
    fake(host / "bin/python3.8", "3.8.18")
    # When the host is set up
    said = trouble(host)
    # Then what there is, what is needed and how to name another stand in one line and its hint
    what, hint = said.splitlines()
    assert what == (
        f"web1: it has no Python 3.9 or later; found: {host}/bin/python3 is 3.6.15, {host}/bin/python3.8 is 3.8.18"
    )
    assert "python: /opt/py/bin/python3" in hint


def test_a_host_without_any_python_says_so(host: Path) -> None:
    # Given none, but programs of such a name
    (host / "bin/python3").write_text("#!/bin/sh\nexit 127\n")
    (host / "bin/python3").chmod(0o755)
    (host / "bin/python3.9").mkdir()
    # When the host is set up
    # Then that is what it says
    assert trouble(host).splitlines()[0] == "web1: there is no python3"


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside-a-good-one"])
def test_a_named_interpreter_that_will_not_do_is_named_in_one_line(host: Path, beside: bool) -> None:
    # Given a machine, with a good interpreter or without any
    if beside:
        fake(host / "bin/python3", "3.12.1")
    old = fake(host / "old/python", "3.8.18")
    lame = fake(host / "lame/python", "3.12.1", makes="echo No module named venv; exit 1")
    odd = host / 'a "b" $c/py`thon'
    for named, word in ((host / "none", "not there" if beside else "no Python 3.9"), (old, "3.9 or later"), (odd, "")):
        # When a setting names one that is missing, or too old
        said = trouble(host, python=str(named))
        # Then the line has the setting, the path and what is wrong
        assert said.startswith(f"web1: karafka.python names {named}, which is ")
        assert word in said
    # And one without venv says that
    assert f"({lame}) cannot make a venv: No module named venv" in trouble(host, python=str(lame))


def test_what_start_up_files_print_without_a_line_end_hides_no_answer(host: Path) -> None:
    # Given a host whose start-up files set the title of the window, and that goes on as ever
    fake(host / "bin/python3", "3.8.18")
    made = settings(host)
    plan = setup.make_setup(made, made.hosts)
    output: list[bytes] = []
    data = opening(plan.hosts[0].order)
    LocalTransport().execute(target_of(made.hosts[0]), setup.COMMAND, data, output.append, Deadline(20))
    noisy = FakeTransport({"web1": Answer([b"\033]0;x\007", *output])})
    # When it is set up
    outcomes, _ = setup.carry_out(plan, noisy, lambda _: None)
    # Then what it says is understood
    assert "found" in str(outcomes[0].error)


def test_a_host_that_talks_without_end_is_given_up() -> None:
    # Given a host that writes no line of ours
    made = settings(Path("/nowhere"))
    endless = FakeTransport({"web1": Answer([b"noise\n" * 10_000] * 10)})
    # When it is set up
    outcomes, code = setup.carry_out(setup.make_setup(made, made.hosts), endless, lambda _: None)
    # Then it is told in words
    assert code == 1
    assert "endless output" in str(outcomes[0].error)


@pytest.mark.parametrize("where", ["top", "stage", "host"])
def test_the_interpreter_is_named_for_all_for_a_stage_or_for_a_host(where: str) -> None:
    # Given a setting at each place down to one; the nearest wins
    own: dict[str, Any] = {"application": "shop", "deploy_to": "/srv/shop", "command": "true", "python": "/opt/top"}
    stage: dict[str, Any] = {"hosts": [{"host": "web1"}, {"host": "web2"}]}
    if where != "top":
        stage["python"] = "/opt/stage"
    if where == "host":
        stage["hosts"][0]["python"] = "/opt/host"
    made = load({**own, "stages": {"test": stage}})
    # When the setup is planned
    plan = setup.make_setup(made, made.hosts)
    # Then each host has its own, else its stage's, else the one for all
    rest = "/opt/top" if where == "top" else "/opt/stage"
    assert [one.order["python"] for one in plan.hosts] == ["/opt/host" if where == "host" else rest, rest]
