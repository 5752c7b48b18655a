"""Settings that no other test sets, each seen at work."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from tests.labs.in_process import fab
from tests.labs.ssh_fleet import started
from tests.labs.yard import Yard

QUICK_SECONDS = 40.0  # what takes so long has not been ended by its own deadline, of 5 s at most


class Grounds(Yard):
    """A project on three hosts, whose commands need no process of their own."""

    def settings(self, **more: Any) -> None:
        """Write the settings."""
        super().settings(**{"readiness": "notify", **more})

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return fab(self.folder, *arguments, code=code)

    def places(self, **roles: list[str]) -> dict[str, Any]:
        """Return the stages with the roles of each host."""
        found = []
        for one in self.fleet.hosts:
            reached = {"address": one.files.address, "port": one.files.port, "user": one.files.user}
            has = roles.get(one.name, ["karafka"])
            found.append({"host": one.name, **reached, "deploy_to": str(one.files.deploy_to), "roles": has})
        return {"test": {"hosts": found}}

    def pid(self, host: str, slot: str) -> int:
        """Return the pid of a process, as its pidfile has it."""
        return int((self.hosts[host] / f"shared/tmp/pids/{slot}.pid").read_text().split()[0])

    def environment(self, host: str, slot: str) -> dict[str, str]:
        """Return what a process was started with."""
        raw = Path(f"/proc/{self.pid(host, slot)}/environ").read_text()
        return dict(part.split("=", 1) for part in raw.split("\0") if "=" in part)


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Grounds]:
    """The project of this module, with a release on each host."""
    directory = tmp_path_factory.mktemp("grounds")
    with started(directory / "fleet", 3, run_owner) as fleet:
        made = Grounds(directory / "project", fleet)
        made.settings(default_hooks=False)
        made.fab("deploy")
        yield made


@pytest.fixture
def stopped(grounds: Grounds) -> Iterator[None]:
    """Whatever a test starts is stopped after it."""
    yield
    grounds.settings(stages=grounds.places(host2=["karafka", "karafka_big"], host3=["karafka_big"]),
                     role=["karafka", "karafka_big"])  # fmt: skip
    grounds.fab("karafka.stop")


@pytest.mark.usefixtures("stopped")
def test_karafka_env_is_what_the_settings_say_and_the_stages_name_without(grounds: Grounds) -> None:
    for setting, task, expected in (({"karafka_env": "qa"}, "karafka.start", "qa"), ({}, "karafka.restart", "test")):
        grounds.settings(**setting)
        grounds.fab(task, "--hosts", "host1")
        assert grounds.environment("host1", "karafka-0")["KARAFKA_ENV"] == expected


def test_a_build_and_a_hook_have_as_long_as_the_settings_say(grounds: Grounds) -> None:
    before, began = grounds.current(), time.monotonic()
    # Given a build that does not end
    grounds.settings(default_hooks=False, build="sleep 170", build_timeout_seconds=1)
    refused = grounds.fab("deploy", "--hosts", "host1", code=1)
    # Then the deploy ends instead, and says by what
    assert "sleep 170" in refused.stderr
    # Given a hook that does not end
    grounds.settings(default_hooks=False, hook_timeout_seconds=5)
    hook = grounds.hook("before-publishing", "echo $$ > hook.pid; exec sleep 170")
    refused = grounds.fab("deploy", "--hosts", "host1", code=1)
    hook.unlink()
    # Then so it does, and the hook is gone
    assert "before-publishing" in refused.stderr
    written = grounds.folder / "hook.pid"
    assert Deadline(10).poll(lambda: written.exists() and written.read_text().endswith("\n"))
    pid = int(written.read_text())
    assert Deadline(10).poll(lambda: Identity.of(pid) is None)
    # And neither was waited for, nor published
    assert time.monotonic() - began < 2 * QUICK_SECONDS
    assert grounds.current() == before


@pytest.mark.usefixtures("stopped")
def test_a_rollout_goes_on_past_as_many_failed_hosts_as_the_settings_say(grounds: Grounds) -> None:
    # Given three hosts that run, and the first one's release broken since
    grounds.settings()
    grounds.fab("karafka.start")
    mode = grounds.hosts["host1"] / "current/mode"
    mode.write_text("exit\n")
    before = {host: grounds.pid(host, "karafka-0") for host in ("host2", "host3")}
    try:
        # When no host may fail
        done = grounds.fab("karafka.restart", code=1)
        # Then the others are left alone, and named
        assert {host: grounds.pid(host, "karafka-0") for host in before} == before
        assert "not attempted" in done.stdout + done.stderr
        # When one may
        grounds.settings(rollout={"settle_seconds": 0, "max_failures": 1})
        grounds.fab("karafka.restart", code=1)
        # Then the others are restarted, and it failed all the same
        after = {host: grounds.pid(host, "karafka-0") for host in before}
        assert not set(after.values()) & set(before.values())
    finally:
        mode.write_text("first\n")


@pytest.mark.parametrize(
    ("rollout", "expected"),
    [
        ({"batch": "67%", "canary": 0}, [["host1", "host2"], ["host3"]]),
        ({"batch": "66%", "canary": 0}, [["host1"], ["host2"], ["host3"]]),
        ({"batch": "1%", "canary": 0}, [["host1"], ["host2"], ["host3"]]),
        ({"batch": "100%", "canary": 0}, [["host1", "host2", "host3"]]),
        ({"batch": "100%"}, [["host1"], ["host2", "host3"]]),
        ({"batch": [1, "100%"], "canary": 0}, [["host1"], ["host2", "host3"]]),
    ],
)
def test_batches_are_a_percentage_of_the_hosts_that_are_selected(
    grounds: Grounds, rollout: dict[str, Any], expected: list[list[str]]
) -> None:
    grounds.settings(rollout=rollout)
    plan = json.loads(grounds.fab("karafka.restart", "--dry-run", "--json").stdout)
    assert [[action["host"] for action in batch] for batch in plan["batches"]] == expected


@pytest.mark.usefixtures("stopped")
def test_hosts_of_several_roles_run_the_processes_of_each(grounds: Grounds) -> None:
    # Given two roles, one of them with more processes, and a host that has both
    stages = grounds.places(host2=["karafka", "karafka_big"], host3=["karafka_big"])
    grounds.settings(stages=stages, role=["karafka", "karafka_big"], roles={"karafka_big": {"processes": 2}})
    # When all is started
    grounds.fab("karafka.start")
    # Then each host runs what its roles say, and no slot is two roles'
    shown = json.loads(grounds.fab("karafka.status", "--json").stdout)
    running = {host["host"]: [one["name"] for one in host["processes"]] for host in shown["hosts"]}
    big = ["karafka_big-0", "karafka_big-1"]
    assert running == {"host1": ["karafka-0"], "host2": ["karafka-0", *big], "host3": big}
    # When one role is restarted
    before = {name: grounds.pid("host2", name) for name in running["host2"]}
    grounds.fab("karafka.restart", "--roles", "karafka_big", "--hosts", "host2")
    # Then the other one's process is the same
    after = {name: grounds.pid("host2", name) for name in running["host2"]}
    assert {name for name in before if before[name] != after[name]} == set(big)
