"""`fab` on a host whose PID 1 is a real systemd: install, enable, start, what the doctor finds, logs, migration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.nspawn import USER, SystemdHost
from tests.labs.unit_shop import MakeUnitShop, UnitShop

pytestmark = pytest.mark.timeout(400)  # some twenty commands a test, on a machine that has other work

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")
UNIT = "/etc/systemd/system/karafka-shop@.service"
ENV = "/etc/karafka-ops/shop/karafka-{}.env"
ROOT = "/srv/shop"
WIDE = f"{USER} ALL=(root) NOPASSWD: ALL\n"


def follow(stage: UnitShop, last: str, new: str) -> None:
    """Follow the logs of two processes whose last line is known, let them write a new one, and end it by Ctrl-C."""
    argv = [FAB, "-f", "fabric.json", "karafka.log", "--follow", "--lines", "1"]
    out = stage.folder / "out"
    with out.open("w") as stream:
        follower = subprocess.Popen(
            argv, cwd=stage.folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        assert Deadline(30).poll(lambda: out.read_text().count(f" {last}\n") == 2), out.read_text()
        stage.say(new)
        assert Deadline(20).poll(lambda: out.read_text().count(f" {new}\n") == 2), out.read_text()
        assert out.read_text().count("\n") == 4
        assert stage.host.run("pgrep", "-cx", "journalctl", check=False).stdout.strip() == "2"
        os.killpg(follower.pid, signal.SIGINT)
        assert follower.wait(20) == 0
    finally:
        follower.kill()
        follower.wait()
    assert Deadline(20).poll(lambda: stage.host.run("pgrep", "-x", "journalctl", check=False).returncode == 1)


def test_units_are_installed_enabled_started_mended_and_removed(unit_shop: MakeUnitShop) -> None:
    # Given a host with nothing of it
    stage = unit_shop("shop", "root")
    done = stage.fab("karafka.install", "--diff")
    assert f"+++ {UNIT}" in done.stdout
    assert not stage.there(UNIT)
    # When it is installed, twice
    first, second = stage.fab("karafka.install"), stage.fab("karafka.install")
    # Then the second has nothing to do
    assert first.stdout.startswith("web1: installed\n")
    assert second.stdout == "web1: already installed\n"
    # And what systemd reads as root is where root alone writes; below deploy_to nothing is root's
    owners = stage.host.run("sh", "-c", f"stat -c %U:%a {ENV.format(0)} {ENV.format(1)}").stdout
    assert set(owners.split()) == {"root:600"}
    assert not stage.host.run("find", ROOT, "-user", "root").stdout
    # When it is enabled and started
    stage.fab("karafka.enable")
    stage.fab("karafka.start")
    # Then the doctor finds nothing
    done = stage.fab("karafka.doctor", code=None)
    assert (done.returncode, done.stdout) == (0, "test: nothing is wrong with 1 host\n")
    # When somebody edits the unit by hand, beside a drop-in of their own
    good = stage.text(UNIT)
    drop_in = f"{UNIT}.d/mine.conf"
    stage.host.write(drop_in, "[Service]\nNice=5\n")
    stage.host.write(UNIT, good.replace("TasksMax=512", "TasksMax=5"))
    # Then the doctor names it, and the diff shows the line
    done = stage.fab("karafka.doctor", code=1)
    assert f"web1  differs: {UNIT} (edited by hand)  fab karafka.install --hosts web1" in done.stdout
    assert "-TasksMax=5\n" in stage.fab("karafka.install", "--diff").stdout.replace("    -", "-")
    # When it is installed again
    pids = stage.pids()
    done = stage.fab("karafka.install")
    # Then it is as it was, the drop-in still there, no process was touched, and who has to be restarted is said
    assert stage.text(UNIT) == good
    assert stage.there(drop_in)
    assert stage.pids() == pids
    assert "fab karafka.restart --hosts web1 --processes karafka-0,karafka-1" in done.stdout
    stage.fab("karafka.doctor")
    # When a process less is wanted
    stage.settings(processes=1)
    stage.fab("karafka.install")
    # Then the other one's env file is gone, and it starts with the host no more
    assert not stage.there(ENV.format(1))
    word = stage.host.run("systemctl", "is-enabled", "karafka-shop@karafka-1.service", check=False).stdout
    assert word.strip() == "disabled"
    # When it is uninstalled while they run
    done = stage.fab("karafka.uninstall", code=1)
    # Then it is refused, naming them; stopped first, nothing of it is left
    assert "karafka-0, karafka-1 still run" in done.stderr
    stage.fab("karafka.stop")
    stage.fab("karafka.uninstall")
    assert not stage.there(UNIT)
    assert not stage.there(ENV.format(0))
    assert stage.there(drop_in)
    wanted = stage.host.run("sh", "-c", "ls /etc/systemd/system/*.wants", check=False).stdout
    assert "karafka-shop" not in wanted  # other applications of this host are other tests'
    stage.settings()


def test_the_journal_is_followed_and_nobody_is_left_listening(unit_shop: MakeUnitShop) -> None:
    # Given processes that systemd keeps
    stage = unit_shop("heard", "root")
    stage.fab("karafka.install")
    stage.fab("karafka.start")
    stage.say("one")
    shown: Callable[[], str] = lambda: stage.fab("karafka.log", "--lines", "5").stdout  # noqa: E731
    assert Deadline(20).poll(lambda: shown().count(" one\n") == 2, every=0.5)
    late: Callable[[], str] = lambda: stage.fab("karafka.log", "--since", "1s").stdout  # noqa: E731
    assert Deadline(20).poll(lambda: "Started" not in late(), every=0.5)  # once their start is a second ago
    # When they are followed, and write
    # Then each line comes once from each, until Ctrl-C, and no journalctl is left
    follow(stage, "one", "two")
    stage.fab("karafka.stop")


def test_a_deploying_user_is_told_which_rights_are_missing_and_then_migrates_its_processes(
    unit_shop: MakeUnitShop, systemd_host: SystemdHost
) -> None:
    # Given plain processes of a user without any rights
    stage, host = unit_shop("mine", USER, manager="pidfile", systemd={"sudo": True}), systemd_host
    stage.fab("karafka.start")
    plain = stage.pids()
    # When they are to be systemd's
    done = stage.fab("karafka.migrate", "systemd", code=1)
    # Then nothing was touched, and it says what is missing
    assert "sudo -n install" in done.stderr
    assert "no process was touched" in done.stderr
    assert stage.pids() == plain
    stage.settings(manager="systemd")
    findings = json.loads(stage.fab("karafka.doctor", "--json", code=1).stdout)["findings"]
    assert {"sudo", "drift", "keeper"} <= {one["kind"] for one in findings}
    # When it may use sudo
    host.write("/etc/sudoers.d/all", WIDE, mode=0o440)
    done = stage.fab("karafka.migrate", "systemd")
    # Then systemd has them, one after the other
    now = stage.pids()
    assert set(now).isdisjoint(plain)
    group = host.run("cat", *(f"/proc/{pid}/cgroup" for pid in now)).stdout
    assert "karafka-mine@karafka-0.service" in group
    assert "karafka-mine@karafka-1.service" in group
    # And what sudo has to allow from now on is no more than what was installed for it
    host.run("rm", "/etc/sudoers.d/all")
    stage.fab("karafka.enable")
    assert stage.fab("karafka.doctor", code=None).stdout == "test: nothing is wrong with 1 host\n"
    stage.say("one")
    assert Deadline(20).poll(lambda: stage.fab("karafka.log").stdout.count(" one\n") == 2, every=0.5)
    follow(stage, "one", "two")
    # When they are not wanted any more
    stage.fab("karafka.stop")
    host.write("/etc/sudoers.d/all", WIDE, mode=0o440)
    stage.fab("karafka.uninstall")
    host.run("rm", "/etc/sudoers.d/all")
    # Then nothing of them is left, in root's folders neither
    found = host.run("sh", "-c", "ls /etc/sudoers.d /etc/systemd/system /etc/systemd/system/*.wants").stdout
    assert "karafka-mine" not in found


def test_a_users_own_units_need_no_root_but_linger(unit_shop: MakeUnitShop, systemd_host: SystemdHost) -> None:
    # Given a user's own units, on a host where nothing of the user goes on after its session
    stage, host = unit_shop("own", USER, systemd={"scope": "user"}), systemd_host
    host.run("loginctl", "disable-linger", USER, check=False)
    done = stage.fab("karafka.doctor", "--json", code=1)
    assert "linger" in {one["kind"] for one in json.loads(done.stdout)["findings"]}
    # When root lets it linger
    host.run("loginctl", "enable-linger", USER)
    # Then all goes without root
    assert Deadline(20).poll(lambda: stage.fab("karafka.install", code=None).returncode == 0, every=0.5)
    stage.fab("karafka.enable")
    stage.fab("karafka.start")
    assert stage.there(f"/home/{USER}/.config/systemd/user/karafka-own@.service")
    assert stage.fab("karafka.doctor", code=None).stdout == "test: nothing is wrong with 1 host\n"
    stage.say("hello")
    assert Deadline(20).poll(lambda: stage.fab("karafka.log").stdout.count(" hello\n") == 2, every=0.5)
    stage.fab("karafka.stop")
    stage.fab("karafka.uninstall")
    assert not stage.there(f"/home/{USER}/.config/systemd/user/karafka-own@.service")
