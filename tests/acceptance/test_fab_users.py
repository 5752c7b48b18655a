"""Who logs in, whom the application belongs to, whom its units run as: each pair works, or is refused by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.sandbox.nspawn import USER, SystemdHost
from tests.acceptance.conftest import MakeUnitShop
from tests.labs.unit_shop import UnitShop

ALICE, BOB = "alice", "bob"


@pytest.fixture(scope="module", autouse=True)
def accounts(systemd_host: SystemdHost) -> Iterator[None]:
    """Two people with accounts of their own; only one of them may become who deploys."""
    for name in (ALICE, BOB):
        systemd_host.run("useradd", "--create-home", "--shell", "/bin/sh", name)
    rule = f"{ALICE} ALL=({USER}) NOPASSWD: ALL\n"
    systemd_host.write("/etc/sudoers.d/people", rule, mode=0o440)
    systemd_host.write("/etc/sudoers.d/deploy", f"{USER} ALL=(root) NOPASSWD: ALL\n", mode=0o440)
    yield
    systemd_host.run("rm", "/etc/sudoers.d/people", "/etc/sudoers.d/deploy")
    for name in (ALICE, BOB):
        systemd_host.run("userdel", "--remove", name, check=False)


def whose(stage: UnitShop) -> set[str]:
    """Return the users of the processes and of all that is below deploy_to."""
    pids = ",".join(map(str, stage.pids()))
    users = stage.host.run("ps", "-o", "user=", "-p", pids).stdout.split()
    return {*users, *stage.host.run("find", stage.root, "-printf", "%u\n").stdout.split()}


def test_people_log_in_as_themselves_and_work_as_who_deploys(unit_shop: MakeUnitShop) -> None:
    # Given an account of one's own that may become who deploys
    stage = unit_shop("people", ALICE, become={"user": USER}, systemd={"sudo": True})
    # When it installs, starts, looks, restarts and stops
    stage.fab("karafka.install")
    stage.fab("karafka.enable")
    stage.fab("karafka.start")
    # Then all of it is who deploys
    assert whose(stage) == {USER}
    assert stage.fab("karafka.doctor", code=None).stdout == "test: nothing is wrong with 1 host\n"
    stage.fab("karafka.restart")
    stage.fab("karafka.stop")
    stage.fab("karafka.uninstall")


def test_who_may_not_become_the_other_user_is_told_so_by_every_command(unit_shop: MakeUnitShop) -> None:
    # Given an account that sudo does not let become who deploys
    stage = unit_shop("people", BOB, become={"user": USER})
    # Then each command says which user it is about, and what is needed
    for words in (("karafka.status",), ("karafka.start",), ("deploy.check",), ("karafka.doctor",), ("karafka.setup",)):
        done = stage.fab(*words, code=None)
        said = done.stdout + done.stderr
        assert done.returncode != 0, words
        assert f"nobody can become {USER} here: " in said, (words, said)
        assert "NOPASSWD" in said, (words, said)


def test_without_become_another_users_application_is_refused(unit_shop: MakeUnitShop) -> None:
    # Given an account of one's own, and an application of another user's
    stage = unit_shop("people", ALICE)
    # Then it is refused before anything is done, with the way out
    done = stage.fab("karafka.start", code=None)
    assert done.returncode != 0
    assert "and who logs in is user" in done.stderr
    assert "become: {user: OWNER}" in done.stderr


def test_units_run_as_who_may_use_what_the_agent_makes(unit_shop: MakeUnitShop) -> None:
    # Given settings that name another user for the units than the folder's owner
    stage = unit_shop("people", "root", systemd={"user": BOB})
    # Then they are refused as settings, with both users
    done = stage.fab("karafka.install", code=2)
    assert f"{BOB} is to run the processes, but on web1 deploy_to belongs to {USER}" in done.stderr
    # And the owner may be named
    stage.settings(systemd={"user": USER})
    stage.fab("karafka.install")
    stage.fab("karafka.uninstall")
