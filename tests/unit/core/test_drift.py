"""What differs between what the settings render and what is on a host."""

from __future__ import annotations

from typing import Any

from ops.core.drift import Change, call_of, changes
from ops.core.installation import Facts, HostFile, PresentFile, digest

UNIT = HostFile("/etc/u.service", "a\nb\n")
ENV = HostFile("/srv/units/karafka-0.env", "BROKERS=k1\nTOKEN=new\n", 0o600)


def facts(files: dict[str, PresentFile], installed: dict[str, str] | None = None) -> Facts:
    who: dict[str, Any] = dict.fromkeys(("user", "group", "home", "owner", "owner_group", "python", "tool"), "x")
    return Facts(**who, wall=0.0, files=files, installed={"systemd": installed or {}})


def test_what_is_as_it_has_to_be_is_no_change() -> None:
    # Given files that are there with text and mode
    there = {one.path: PresentFile(one.text, one.mode) for one in (UNIT, ENV)}
    # Then nothing differs
    assert changes((UNIT, ENV), facts(there), "systemd") == ()


def test_each_change_says_what_it_is() -> None:
    # Given one file edited by hand, one of another mode, one that is gone from the settings, one that is missing, and
    # one whose text does not have all of its bytes
    mine = {"/etc/edited": digest("put\n"), "/etc/gone": digest("old\n")}
    there = {
        "/etc/edited": PresentFile("by hand\n", 0o644),
        "/etc/mode": PresentFile("m\n", 0o600),
        "/etc/gone": PresentFile("old\n", 0o644),
        "/etc/bytes": PresentFile("b\n", 0o644, of_bytes="0" * 64),
    }
    wanted = (HostFile("/etc/edited", "put\n"), HostFile("/etc/mode", "m\n"), HostFile("/etc/new", "n\n"))
    wanted = (*wanted, HostFile("/etc/bytes", "b\n"))
    found = changes(wanted, facts(there, mine), "systemd")
    # Then each is named, and the last line of each diff shows it
    assert [one.summary for one in found] == [
        "differs: /etc/edited (edited by hand)",
        "mode 0600, not 0644: /etc/mode",
        "new: /etc/new",
        "differs: /etc/bytes",
        "to go: /etc/gone",
    ]
    assert [one.diff()[-1] for one in found] == [
        "+put",
        "  (mode 0600, not 0644: /etc/mode)",
        "+n",
        "  (differs: /etc/bytes)",
        "-old",
    ]


def test_files_of_another_manager_are_left_alone() -> None:
    # Given a file that an install for supervisor has put there
    there = {"/etc/s.conf": PresentFile("s\n", 0o644)}
    # Then it is none of systemd's
    assert changes((), facts(there, {}), "systemd") == ()


def test_the_call_carries_what_was_seen_of_what_changes() -> None:
    # Given one new file, one that is to go and one that is as it has to be
    there = {UNIT.path: PresentFile(UNIT.text, UNIT.mode), "/etc/gone": PresentFile("old\n", 0o644)}
    found = changes((UNIT, ENV), facts(there, {"/etc/gone": digest("old\n")}), "systemd")
    # Then the call has all files, and the digests of what is to be touched alone
    call = call_of((UNIT, ENV), found)
    assert call.files == (UNIT, ENV)
    assert call.remove == ("/etc/gone",)
    assert call.seen == {ENV.path: "", "/etc/gone": digest("old\n")}


def test_secrets_are_hidden_in_the_diff_of_any_file() -> None:
    # Given an env file and one that others may read, whose lines change
    secret = Change(ENV.path, PresentFile("BROKERS=k0\nTOKEN=old\n", 0o600), ENV)
    public = Change("/etc/x", PresentFile("TOKEN=old\n", 0o644), HostFile("/etc/x", "TOKEN=new\n"))

    def hide(line: str) -> str:
        return "TOKEN=***" if line.startswith("TOKEN") else line

    # Then neither diff has a secret in it
    assert secret.diff(hide)[3:] == ["-BROKERS=k0", "+BROKERS=k1", " TOKEN=***"]
    assert "TOKEN=new" not in "".join(public.diff(hide))


def test_what_may_not_be_read_is_believed_to_be_what_an_install_has_put_there() -> None:
    # Given rules of sudo that the deploying user may not read
    there = {UNIT.path: PresentFile("", 0o440, "Permission denied")}
    # Then they are as they were installed, until the settings render others
    assert changes((UNIT,), facts(there, {UNIT.path: digest(UNIT.text)}), "systemd") == ()
    (found,) = changes((UNIT,), facts(there, {UNIT.path: digest("before\n")}), "systemd")
    assert found.summary == f"cannot be read: {UNIT.path}: Permission denied"
