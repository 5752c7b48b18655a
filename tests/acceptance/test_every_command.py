"""Every task and every flag is typed by some test, and those that no other module types, here."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.fleet.tasks import namespace as fab_tasks
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.shared import SharedKafka
from ops.tasks import namespace as inv_tasks
from tests.labs.in_process import fab
from tests.labs.yard import Yard

TESTS = Path(__file__).parents[1]
PROJECT = TESTS.parent
BIN = Path(sys.executable).parent


# -- what is typed at all


@cache
def typed_words() -> list[set[str]]:
    """Return the words of all texts of each test module."""
    found = []
    for path in TESTS.rglob("*.py"):
        texts = [one.value for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.Constant)]
        found.append({word for text in texts if isinstance(text, str) for word in text.split()})
    return found


def commands(tasks: Collection) -> Iterator[tuple[set[str], list[str]]]:
    """Give the names that each task is typed by, and its flags."""
    for name, aliases in tasks.task_names.items():
        collection, _, task = name.rpartition(".")
        by_default = {collection} if collection and tasks.collections[collection].default == task else set()
        flags = [f"--{one.name.replace('_', '-')}" for one in tasks[name].get_arguments() if not one.positional]
        yield {name, *aliases, *by_default}, flags


@pytest.mark.parametrize("tasks", [fab_tasks, inv_tasks], ids=["fab", "inv"])
def test_every_task_is_typed_by_a_test_and_every_flag_by_one_that_types_its_task(tasks: Collection) -> None:
    # Given the words of each test module, for a command line is a list of words in one
    modules = typed_words()
    # Then no task and no flag is without any
    missing = []
    for names, flags in commands(tasks):
        typed = [words for words in modules if words & names]
        missing += [min(names)] if not typed else []
        missing += [f"{min(names)} {flag}" for flag in flags if not any(flag in words for words in typed)]
    assert missing == []


# -- fab


class Grounds(Yard):
    """A project whose releases restart nothing, and whose commands need no process of their own."""

    def settings(self, **more: Any) -> None:
        """Write the settings."""
        super().settings(**{"default_hooks": False, **more})

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return fab(self.folder, *arguments, code=code)


@pytest.fixture(scope="module")
def grounds(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Grounds]:
    """A project of three hosts that nothing was deployed to, for this module."""
    directory = tmp_path_factory.mktemp("grounds")
    fleet = LocalFleet(directory / "fleet", 3)
    fleet.start()
    guard(fleet.directory, run_owner)
    yield Grounds(directory / "project", fleet)
    end_all(fleet.directory, timeout_seconds=0)


@pytest.fixture
def yard(grounds: Grounds) -> Grounds:
    """The same, by its own settings."""
    grounds.settings()
    return grounds


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_check_says_what_a_deploy_would_take_and_moves_nothing(yard: Grounds) -> None:
    # Given hosts that nothing was deployed to
    sha = yard.git("rev-parse", "HEAD")
    # When it is looked whether a deploy could begin
    done = yard.fab("deploy.check")
    # Then every host is fit, and the commit is named
    assert "3 hosts are fit for a deploy" in done.stderr + done.stdout
    assert f"main is {sha}" in done.stderr + done.stdout
    # And there are folders, and no release
    for root in yard.hosts.values():
        assert (root / "releases").is_dir()
        assert list((root / "releases").iterdir()) == []
    # And one host can be asked by itself, for programs
    told = events(yard.fab("deploy.check", "--hosts", "host2", "--json").stdout)
    assert told[-1]["event"] == "Said"
    assert {one["host"] for one in told if "host" in one} == {"host2"}
    # When a branch is not there
    yard.settings(branch="nowhere")
    # Then that is said instead
    refused = yard.fab("deploy.check", code=1)
    assert "'nowhere' is no branch, tag or commit of the repository" in refused.stderr


def test_a_branch_a_tag_or_a_commit_is_deployed_by_its_name(yard: Grounds) -> None:
    # Given a branch and a tag beside the main branch
    first = yard.git("rev-parse", "HEAD")
    yard.git("tag", "v1.0")
    yard.git("switch", "--quiet", "--create", "feature/x")
    feature = yard.commit("on the branch")
    yard.git("switch", "--quiet", "main")
    root = yard.hosts["host1"]
    # When each is deployed
    for name, sha in (("feature/x", feature), ("v1.0", first), (feature[:12], feature)):
        yard.fab("deploy", "--branch", name, "--hosts", "host1", "--lock-wait", "5")
        # Then that commit is current, whatever the settings say
        assert (root / "current/REVISION").read_text().strip() == sha
        assert (root / "revisions.log").read_text().splitlines()[-1].startswith(f"Branch {name} (at {sha}) deployed as")
    # And what looks like an option of git is a name that is not there
    for name in ("nowhere", "--output=/tmp/x", "main\nBranch"):
        before = yard.current()
        refused = yard.fab("deploy", f"--branch={name}", "--hosts", "host1", code=1)
        assert "is no branch, tag or commit of the repository" in refused.stderr
        assert yard.current() == before


def test_a_rollback_goes_to_the_release_that_is_named(yard: Grounds) -> None:
    # Given a host with three releases
    releases = sorted(path.name for path in (yard.hosts["host1"] / "releases").iterdir())
    assert len(releases) >= 3
    only = ("--hosts", "host1")
    # When it is planned
    done = yard.fab("deploy.rollback", "--release", releases[0], "--dry-run", *only)
    # Then nothing is moved
    assert f"to release {releases[0]}" in done.stdout
    assert yard.current()["host1"] == releases[-1]
    # When it is done
    told = events(yard.fab("deploy.rollback", "--release", releases[0], "--json", "--lock-wait", "5", *only).stdout)
    # Then it is past the one in between
    assert (told[-1]["event"], told[-1]["exit_code"]) == ("Result", 0)
    assert yard.current()["host1"] == releases[0]
    # And what is no release, or current, is refused
    for name, said in (("../../etc", "is not there, or not whole"), (releases[0], "is current already")):
        assert said in yard.fab("deploy.rollback", "--release", name, *only, code=1).stderr
    # And the table of that host tells it
    found = json.loads(yard.fab("deploy.releases", "--json", *only).stdout)
    assert [*found["hosts"]] == ["host1"]
    assert found["hosts"]["host1"]["current"] == releases[0]


def test_a_cleanup_keeps_as_many_good_releases_as_the_settings_say(yard: Grounds) -> None:
    # Given two hosts with five releases
    only = ("--hosts", "host2,host3")
    for _ in range(5):
        yard.fab("deploy", *only)
    # When old ones are removed on one of them
    yard.settings(keep_releases=2)
    told = events(yard.fab("deploy.cleanup", "--hosts", "host2", "--json", "--lock-wait", "5").stdout)
    # Then two are left there, current among them, and the other one has all
    left = {name: sorted(one.name for one in (root / "releases").iterdir()) for name, root in yard.hosts.items()}
    assert (len(left["host2"]), len(left["host3"])) == (2, 5)
    assert yard.current()["host2"] == left["host2"][-1]
    assert told
    # And a deploy does the same by itself
    yard.fab("deploy", "--hosts", "host3")
    left = sorted(one.name for one in (yard.hosts["host3"] / "releases").iterdir())
    assert (len(left), left[-1]) == (2, yard.current()["host3"])


def test_plain_processes_start_with_their_hosts_by_nobody_and_that_is_said(yard: Grounds) -> None:
    for task in ("karafka.enable", "karafka.disable"):
        refused = yard.fab(task, "--hosts", "host1", "--json", "--lock-wait", "1", code=2)
        assert "started by nobody when their host boots" in refused.stderr
        assert "fab karafka.migrate systemd" in refused.stderr


def test_a_plan_is_for_those_who_are_named_and_touches_nothing(yard: Grounds) -> None:
    # Given hosts of two roles
    roles = {"host1": ["karafka"], "host2": ["karafka", "karafka_big"], "host3": ["karafka_big"]}
    yard.settings(role=["karafka", "karafka_big"], stages={"test": {"hosts": places(yard, roles)}})
    # When a plan for one role is asked for
    for task in ("karafka.start", "karafka.stop"):
        plan = json.loads(yard.fab(task, "--roles", "karafka_big", "--dry-run", "--json", "--lock-wait", "5").stdout)
        # Then it is for its processes alone, on the hosts that have it
        assert sorted(names(plan)) == [("host2", "karafka_big-0"), ("host3", "karafka_big-0")]
    # And the same goes for logs
    plan = yard.fab("karafka.log", "--roles", "karafka_big", "--processes", "karafka_big-0", "--dry-run").stdout
    assert "host1" not in plan
    assert "karafka_big-0" in plan


def places(yard: Grounds, roles: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Return the hosts of the settings, with roles."""
    hosts = {one.name: one.files for one in yard.fleet.hosts}
    return [
        {"host": name, "address": hosts[name].address, "port": hosts[name].port, "user": hosts[name].user,
         "deploy_to": str(hosts[name].deploy_to), "roles": has} for name, has in roles.items()
    ]  # fmt: skip


def names(plan: Any) -> Iterator[tuple[str, str]]:
    """Find the processes of a plan."""
    for batch in plan["batches"]:
        for action in batch:
            yield from ((action["host"], one["name"]) for one in action["processes"])


def test_a_time_to_wait_for_a_lease_is_refused_where_it_is_none(yard: Grounds) -> None:
    only = ("--hosts", "host1")
    for task in (
        ("karafka.install", *only),
        ("karafka.uninstall", *only, "--json"),
        ("karafka.migrate", "pidfile", *only),
        ("deploy.cleanup", *only),
    ):
        # When somebody wants to wait for less than no time
        refused = yard.fab(*task, "--lock-wait", "-1", code=2)
        # Then nothing is done
        assert "--lock-wait: expected 0 to" in refused.stderr
    # And a lease that nobody has is left as it is, whatever the reason
    found = json.loads(yard.fab("deploy.unlock", "--reason", "gone home", "--json", "--yes").stdout)
    assert (found["stage"], found["broken"]) == ("test", False)


# -- inv


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a user's one-line tasks.py and no settings."""
    shutil.copy(PROJECT / "tasks.py", tmp_path)
    return tmp_path


def inv(project: Path, *arguments: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("KARAFKA_")}
    done = subprocess.run(
        [BIN / "inv", *arguments], cwd=project, env={**own, **env}, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done
    return done


APP = """
from ops.consumer import App, Controller
from ops.jobs import JobsBackend

class OneController(Controller):
    def perform(self):
        pass

app = App("{name}", backend=JobsBackend(partitions=2))
app.topic("{name}-in", controller=OneController, group="{name}-one")
app.topic("{name}-other", controller=OneController, group="{name}-two", inline_mode=True)
"""


@pytest.fixture
def application(project: Path, kafka: SharedKafka) -> str:
    """An app of two groups, with background jobs."""
    name = kafka.unique("typed")
    kafka.create_topics({f"{name}-in": 1, f"{name}-other": 1})
    (project / "own_app.py").write_text(APP.format(name=name))
    return name


def end(path: Path) -> None:
    """End the process of a pidfile."""
    record = pidfile.read(path)
    identity = Identity.of(record.pid) if record else None
    if identity is not None:
        os.kill(identity.pid, signal.SIGTERM)
        assert Deadline(20).poll(lambda: not identity.alive())


@pytest.mark.kafka
def test_a_server_runs_the_groups_that_are_named_and_a_worker_is_told_its_order(
    project: Path, kafka: SharedKafka, application: str
) -> None:
    own, brokers = ("--app", "own_app:app"), {"KARAFKA_BROKERS": kafka.bootstrap}
    # Given a group that the app does not have
    assert "nowhere" in inv(project, "server", *own, "--groups", "nowhere", code=2, **brokers).stderr
    server, worker = project / "run/server.pid", project / "run/worker.pid"
    try:
        # When one of its two is run, and a worker that takes one job after the other
        inv(project, "server", *own, "--groups", f"{application}-two", "--daemon", "--pid", "run/server.pid", **brokers)
        inv(project, "worker", *own, "--fifo", "--daemon", "--pid", "run/worker.pid", **brokers)
        # Then that one has a member, and the other has not
        shown = json.loads(inv(project, "lag", *own, "--json", code=4, **brokers).stdout)
        states = {one["group"]: one["state"] for one in shown["groups"]}
        assert (states[f"{application}-two"], states[f"{application}-one"]) == ("Stable", "Dead")
        # And the worker was told so
        record = pidfile.read(worker)
        assert record is not None
        assert b"--fifo" in Path(f"/proc/{record.pid}/cmdline").read_bytes().split(b"\0")
        # And nothing is dead, and nothing waits
        assert inv(project, "jobs.dead", *own, "--json", **brokers).stdout == "[]\n"
        assert json.loads(inv(project, "jobs.show", *own, "--json", **brokers).stdout)["jobs"] == 0
        assert "--watch" in inv(project, "jobs.show", *own, "--watch", "--json", code=2, **brokers).stderr
    finally:
        end(server)
        end(worker)


def test_what_is_not_there_is_told_of_a_sandbox(project: Path) -> None:
    # Given no sandbox
    # Then it is down, and there is nothing to end
    found = json.loads(inv(project, "sandbox.status", "--dir", "nowhere", "--json", code=3).stdout)
    assert found["up"] is False
    assert inv(project, "sandbox.down", "--dir", "nowhere").stdout == "no sandbox in nowhere\n"
    # And one without hosts, or without processes, is refused before anything begins
    for flag in ("--hosts", "--processes"):
        refused = inv(project, "sandbox.up", flag, "0", "--dir", "nowhere", "--json", code=2)
        assert flag.removeprefix("--") in refused.stderr
    assert not (project / "nowhere").exists()


def test_files_are_rendered_for_the_stage_that_is_named(project: Path) -> None:
    # Given two stages with a host each
    (project / "fabric.yaml").write_text(
        "karafka:\n  application: shop\n  deploy_to: /srv/shop\n  command: [python3, -m, ops, server]\n  stages:\n"
        "    blue: {hosts: [{host: b1}]}\n    green: {hosts: [{host: g1, deploy_to: /srv/green}]}\n"
    )
    # Then each has its own
    assert "/srv/shop/shared" in inv(project, "templates.render", "logrotate", "--stage", "blue").stdout
    assert "/srv/green/shared" in inv(project, "templates.render", "logrotate", "--stage", "green").stdout
    # And one that is not there is refused
    assert "red" in inv(project, "templates.render", "logrotate", "--stage", "red", code=2).stderr
