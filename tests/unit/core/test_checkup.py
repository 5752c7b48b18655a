"""What is wrong with a host, by its facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ops.core.checkup import Finding, Subject, examine, unfit_writers
from ops.core.drift import Change
from ops.core.installation import Facts, HostFile, OpenFiles, PresentFile, Space
from ops.core.keeping import Keeping

GIB = 1 << 30
SYSTEMD = Keeping("systemd", "shop", sudo=True)
WELL = Facts(
    user="deploy",
    group="deploy",
    home="/home/deploy",
    owner="deploy",
    owner_group="deploy",
    python="3.11.2",
    tool="1.0",
    wall=1000.5,
    made_of=("/opt/py/bin/python3.11", "/opt/py/python3"),
    enabled={SYSTEMD.target: "enabled", SYSTEMD.unit("karafka-0"): "enabled"},
    space=Space(50 * GIB, 100 * GIB, 500, 1000),
    logs={"karafka-0": 3 * GIB},
    open_files={"karafka-0": OpenFiles(40, 1024)},
    keepers={"karafka-0": "systemd"},
)


def test_a_process_that_writes_where_its_unit_would_not_let_it_is_found_before_it_has_one() -> None:
    # Given what a unit lets processes write, and what one that another manager keeps has open for writing
    allowed = ("/srv/shop/shared/log", "/srv/shop/shared/tmp/slots")
    written = {"karafka-0": ("/srv/shop/shared/data/a.db", "/srv/shop/shared/log/a.log", "/tmp/x", "/var/lib/b")}
    facts = replace(WELL, written=written, keepers={"karafka-0": "pidfile"})
    subject = Subject("web1", SYSTEMD, facts, (), "1.0", 1000.0, 1001.0, python="/opt/py/python3", writable=allowed)
    found = {one.kind: (one.text, one.mend) for one in examine(subject)}
    # Then that is said, with the folder, and where nothing else is written it is not
    text = "karafka-0 writes /srv/shop/shared/data/a.db and 1 more, which its unit would not let it"
    assert found["writes"] == (text, "/srv/shop/shared/data in linked_dirs, or ReadWritePaths= in a drop-in")
    assert unfit_writers(facts, allowed) == (text,)
    fine = replace(facts, written={"karafka-0": ("/srv/shop/shared/log/a.log", "/tmp/x")})
    assert unfit_writers(fine, allowed) == ()
    # And of one in a unit nothing is said, as a drop-in has let it; nor where no unit is in the way
    assert unfit_writers(replace(facts, keepers={"karafka-0": "systemd"}), allowed) == ()
    assert unfit_writers(facts, None) == ()


def findings(kept: Keeping, changes: tuple[Change, ...] = (), **facts: Any) -> tuple[Finding, ...]:
    subject = Subject("web1", kept, replace(WELL, **facts), changes, "1.0", 1000.0, 1001.0, python="/opt/py/python3")
    return examine(subject)


def examined(kept: Keeping = SYSTEMD, changes: tuple[Change, ...] = (), **facts: Any) -> dict[str, tuple[str, str]]:
    return {one.kind: (one.text, one.mend) for one in findings(kept, changes, **facts)}


def test_a_healthy_host_has_no_findings() -> None:
    # Given a host without a fault; its large log file is left of earlier, its processes write into the journal
    # Then nothing is found
    assert examined() == {}


@pytest.mark.parametrize(
    ("kind", "facts", "text", "mend"),
    [
        ("tool", {"tool": "0.9"}, "its tool is version 0.9, yours 1.0", "fab karafka.setup --hosts web1"),
        ("python", {"made_of": ("/usr/bin/python3", "")}, "the settings name /opt/py/python3", "fab karafka.setup"),
        ("manager", {"manager": "no bus"}, "systemd does not answer: no bus", "systemctl status"),
        ("sudo", {"sudo": "a password"}, "by sudo: a password", "inv templates.render systemd"),
        ("linger", {"linger": False}, "no linger", "as root: loginctl enable-linger deploy"),
        ("boot", {"enabled": {"u": "disabled"}}, "do not start with the host: u", "fab karafka.enable --hosts web1"),
        ("keeper", {"keepers": {"karafka-0": "pidfile"}}, "as plain processes", "fab karafka.migrate systemd"),
        ("disk", {"space": Space(4 * GIB, 100 * GIB, 5, 9)}, "4096 MiB of 100 GiB", "df -h"),
        ("disk", {"space": Space(50 * GIB, 100 * GIB, 9, 1000)}, "few inodes: 9 of 1000 left", "df -i"),
        ("files", {"open_files": {"p": OpenFiles(900, 1024)}}, "900 files open and may have 1024", "LimitNOFILE"),
        ("files", {"open_files": {"p": OpenFiles(9, 256)}}, "may have 256", "LimitNOFILE= in a drop-in"),
        ("clock", {"wall": 998.0}, "its clock is 2 s behind yours", "timedatectl set-ntp true"),
        ("clock", {"wall": 1009.0}, "its clock is 8 s ahead of yours", "timedatectl set-ntp true"),
    ],
)
def test_each_fault_is_found_with_the_command_that_mends_it(
    kind: str, facts: dict[str, Any], text: str, mend: str
) -> None:
    # When a host has one fault
    found = examined(**facts)
    # Then it is the one finding
    assert list(found) == [kind]
    assert text in found[kind][0]
    assert found[kind][1].startswith(mend)


@pytest.mark.parametrize(
    "facts",
    [
        {"wall": 999.1},  # within what a clock may be off
        {"wall": 1001.9},
        {"space": Space(6 * GIB, 1000 * GIB, 500, 1000)},  # less than a tenth, and plenty all the same
        {"space": Space(GIB, 2 * GIB, 0, 0)},  # a small file system that counts no inodes
    ],
)
def test_what_is_within_its_limits_is_none(facts: dict[str, Any]) -> None:
    # Given a host near a limit
    # Then nothing is found
    assert examined(**facts) == {}


@pytest.mark.parametrize(("named", "kinds"), [("/opt/py/python3", ["python"]), ("", [])])
def test_an_agent_of_an_interpreter_that_is_named_no_more_is_found(named: str, kinds: list[str]) -> None:
    # Given settings that name no interpreter, and an agent of a named one or not
    facts = replace(WELL, made_of=("/opt/py/bin/python3.11", named))
    # When the host is examined
    found = examine(Subject("web1", SYSTEMD, facts, (), "1.0", 1000.0, 1001.0, python=""))
    # Then only the named one is anything to mend
    assert [one.kind for one in found] == kinds


def test_files_that_differ_are_found_and_units_that_are_not_there_are_not_asked_to_be_enabled() -> None:
    # Given a host without the units
    path = f"/etc/systemd/system/{SYSTEMD.template}"
    missing = Change(path, None, HostFile(path, ""))
    found = examined(changes=(missing,), enabled={SYSTEMD.target: "not-found"})
    # Then the install is all that is asked for
    assert found == {"drift": (f"missing: {path}", "fab karafka.install --hosts web1")}


def test_plain_processes_need_rotated_logs_and_no_boot() -> None:
    # Given plain processes with a log of 3 GiB whose rotation was edited
    plain = Keeping("pidfile", "shop")
    rule = Change("/etc/logrotate.d/karafka-shop", PresentFile("x", 0o644), HostFile("y", "y"), by_hand=True)
    found = examined(plain, (rule,), enabled={}, keepers={"karafka-0": "pidfile"})
    # Then both are found, and nothing else
    assert set(found) == {"log", "rotation"}
    assert found["log"][0] == "the log of karafka-0 has 3072 MiB: is logrotate run at all?"
    # And a user who may not write the rule is told what root has to do; where root, sudo or that user may, to install
    assert "(user deploy may not write there, root has to)" in found["rotation"][0]
    assert found["rotation"][1] == "inv templates.render logrotate --host web1"
    own = replace(rule, path="/home/deploy/logrotate.d/karafka-shop")
    for kept, change, facts in (
        (plain, rule, {"user": "root"}),
        (plain, rule, {"interpreter": "/var/lib/karafka-ops/shop/venv/bin/python"}),
        (replace(plain, sudo=True), rule, {}),
        (plain, own, {}),
    ):
        assert examined(kept, (change,), **facts)["rotation"][1] == "fab karafka.install --hosts web1"


def test_a_rule_that_only_root_could_have_put_there_is_a_remark_and_a_large_log_is_none() -> None:
    # Given plain processes of a user without root, whose host has no rule and one log of 3 GiB
    rule = Change("/etc/logrotate.d/karafka-shop", None, HostFile("y", "y"))
    found = findings(Keeping("pidfile", "shop"), (rule,), enabled={}, keepers={"karafka-0": "pidfile"})
    # Then what nobody asked for is a remark, and what has come of it a fault
    assert {one.kind: one.remark for one in found} == {"unrotated": True, "log": False}
    assert next(one.mend for one in found if one.remark) == "inv templates.render logrotate --host web1"
    # And a rule that was put there and is not as it should be is one, too
    stale = replace(rule, before=PresentFile("x", 0o644))
    assert not any(one.remark for one in findings(Keeping("pidfile", "shop"), (stale,), enabled={}))
