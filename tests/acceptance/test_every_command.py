"""Every task and every flag is typed by some test, and those that no other module types, here."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from invoke.collection import Collection

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.fleet.tasks import namespace as fab_tasks
from ops.sandbox.shared import SharedKafka
from ops.tasks import namespace as inv_tasks
from tests.labs import in_process
from tests.labs.in_process import fab
from tests.labs.ssh_fleet import started
from tests.labs.yard import Yard

TESTS = Path(__file__).parents[1]
PROJECT = TESTS.parent
BIN = Path(sys.executable).parent


# -- what is typed at all

Known = Mapping[str, set[str]]


@cache
def typed_lines() -> list[set[str]]:
    """Return the words of each call, tuple and list in the tests: those of a command line stand in one of them.

    Names that a function binds to such words count as the words themselves. Docstrings are in no call.
    """
    found = list[set[str]]()
    for path in TESTS.rglob("*.py"):
        tree = ast.parse(path.read_text())
        at_top = bound([one for one in tree.body if isinstance(one, ast.Assign)], {})
        inner = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
        for scope, known in [(tree, at_top), *((one, bound([one], at_top)) for one in inner)]:
            lines = (one for one in ast.walk(scope) if isinstance(one, ast.Call | ast.List | ast.Tuple))
            found += [words(one, known) for one in lines]
    return found


def bound(body: Sequence[ast.stmt], known: Known) -> Known:
    """Return the names that an assignment, a loop over literals or a parameter of a test binds to words."""
    found = dict(known)
    for one in (each for statement in body for each in ast.walk(statement)):
        if isinstance(one, ast.For) and isinstance(one.target, ast.Name):
            found[one.target.id] = {word for each in getattr(one.iter, "elts", []) for word in words(each, found)}
        elif isinstance(one, ast.Call) and ast.unparse(one.func) == "pytest.mark.parametrize":
            name, values = one.args[:2]
            if isinstance(name, ast.Constant):
                found[name.value] = {word for each in getattr(values, "elts", []) for word in words(each, found)}
        elif isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant | ast.List | ast.Tuple):
            found.update({target.id: words(one.value, found) for target in one.targets if isinstance(target, ast.Name)})
            for target in one.targets:
                if isinstance(target, ast.Tuple) and isinstance(one.value, ast.Tuple):
                    pairs = zip(target.elts, one.value.elts, strict=False)
                    found.update({name.id: words(each, found) for name, each in pairs if isinstance(name, ast.Name)})
    return found


def words(node: ast.AST, known: Known) -> set[str]:
    """Return the words of one node: a call's are those of its arguments."""
    if isinstance(node, ast.Constant):
        return {node.value.partition("=")[0]} if isinstance(node.value, str) else set()
    if isinstance(node, ast.Name):
        return known.get(node.id, set())
    if isinstance(node, ast.Starred):
        return words(node.value, known)
    parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
    flat = (one for one in parts if not isinstance(one, ast.Call | ast.List | ast.Tuple))
    return {word for one in flat for word in words(one, known)}


def commands(tasks: Collection) -> Iterator[tuple[set[str], list[str]]]:
    """Return the names that each task is typed by, and its flags."""
    for name, aliases in tasks.task_names.items():
        collection, _, task = name.rpartition(".")
        by_default = {collection} if collection and tasks.collections[collection].default == task else set()
        flags = [f"--{one.name.replace('_', '-')}" for one in tasks[name].get_arguments() if not one.positional]
        yield {name, *aliases, *by_default}, flags


@pytest.mark.xdist_group("typed")  # all tests are read once
@pytest.mark.parametrize("tasks", [fab_tasks, inv_tasks], ids=["fab", "inv"])
def test_every_task_is_typed_by_a_test_and_every_flag_by_one_that_types_its_task(tasks: Collection) -> None:
    # Given the command lines of all tests, and then those of each task
    missing = []
    for names, flags in commands(tasks):
        typed = [line for line in typed_lines() if line & names]
        # Then no task and no flag is without any
        missing += [min(names)] if not typed else []
        missing += [f"{min(names)} {flag}" for flag in flags if not any(flag in line for line in typed)]
    assert missing == []


@pytest.mark.xdist_group("typed")
@pytest.mark.parametrize(("run", "tasks"), [(fab, fab_tasks), (in_process.inv, inv_tasks)], ids=["fab", "inv"])
def test_every_task_tells_its_options_without_settings_hosts_brokers_or_arguments(
    tmp_path: Path, run: Any, tasks: Collection
) -> None:
    # Given a project of one line, and nothing else
    module = "fabfile" if run is fab else "tasks"
    package = "ops.fleet.tasks" if run is fab else "ops.tasks"
    (tmp_path / f"{module}.py").write_text(f"from {package} import namespace as ns\n")
    more = {"config": ""} if run is fab else {}
    for name in tasks.task_names:
        # When a task's help is asked for, in either way, then it is printed, and nothing is done
        for spelling in ("--help", "-h"):
            done = run(tmp_path, name, spelling, code=0, env={}, **more)
            assert f" {name} " in done.stdout.splitlines()[0], done.stdout
            assert done.stderr == ""


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
    """A project of three hosts, for this module; each test deploys what it needs."""
    directory = tmp_path_factory.mktemp("grounds")
    with started(directory / "fleet", 3, run_owner) as fleet:
        yield Grounds(directory / "project", fleet)


@pytest.fixture
def yard(grounds: Grounds) -> Grounds:
    """The same, by its own settings, with hosts that nothing was deployed to."""
    grounds.settings()
    for root in grounds.hosts.values():
        for path in (root / "releases", root / "shared/releases", root / "repo"):
            shutil.rmtree(path, ignore_errors=True)
        for file in (root / "current", root / "revisions.log"):
            file.unlink(missing_ok=True)
    grounds.git("switch", "--quiet", "main")
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
    yard.git("tag", "--force", "v1.0")
    yard.git("switch", "--quiet", "--force-create", "feature/x")
    feature = yard.commit("on the branch")
    yard.git("switch", "--quiet", "main")
    root = yard.hosts["host1"]
    # When each is deployed
    for name, sha in (("feature/x", feature), ("v1.0", first), (feature[:12], feature)):
        yard.fab("deploy", "--branch", name, "--hosts", "host1", "--lock-wait", "5")
        # Then that commit is current, whatever the settings say
        assert (root / "current/REVISION").read_text().strip() == sha
        assert (root / "revisions.log").read_text().splitlines()[-1].startswith(f"Branch {name} (at {sha}) deployed as")
    # And neither a name that is not there is, nor what is none: an option of git, two lines
    no_name = "expected a branch, tag or commit"
    for name, code, said in (
        ("nowhere", 1, "is no branch, tag or commit of the repository"),
        ("--output=/tmp/x", 2, no_name),
        ("main\nBranch", 2, no_name),
    ):
        before = yard.current()
        refused = yard.fab("deploy", f"--branch={name}", "--hosts", "host1", code=code)
        assert said in refused.stderr
        assert yard.current() == before


def test_a_rollback_goes_to_the_release_that_is_named(yard: Grounds) -> None:
    # Given a host with three releases
    only = ("--hosts", "host1")
    for _ in range(3):
        yard.fab("deploy", *only)
    releases = sorted(path.name for path in (yard.hosts["host1"] / "releases").iterdir())
    assert len(releases) == 3
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
    # Given two hosts with three releases
    only = ("--hosts", "host2,host3")
    for _ in range(3):
        yard.fab("deploy", *only)
    # When old ones are removed on one of them
    yard.settings(keep_releases=2)
    told = events(yard.fab("deploy.cleanup", "--hosts", "host2", "--json", "--lock-wait", "5").stdout)
    # Then two are left there, current among them, and the other one has all
    left = {name: sorted(one.name for one in (yard.hosts[name] / "releases").iterdir()) for name in ("host2", "host3")}
    assert (len(left["host2"]), len(left["host3"])) == (2, 3)
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
    for task in ("karafka.start", "karafka.stop", "karafka.restart"):
        plan = json.loads(yard.fab(task, "--roles", "karafka_big", "--dry-run", "--json", "--lock-wait", "5").stdout)
        # Then it is for its processes alone, on the hosts that have it
        assert sorted(names(plan)) == [("host2", "karafka_big-0"), ("host3", "karafka_big-0")]
        # And one process can be named
        plan = json.loads(yard.fab(task, "--processes", "karafka-0", "--dry-run", "--json").stdout)
        assert sorted(names(plan)) == [("host1", "karafka-0"), ("host2", "karafka-0")]
    # And the same goes for logs
    plan = yard.fab("karafka.log", "--roles", "karafka_big", "--processes", "karafka_big-0", "--dry-run").stdout
    assert "host1" not in plan
    assert "karafka_big-0" in plan
    # And for a setup, which has no processes
    plan = yard.fab("karafka.setup", "--hosts", "host1,host2", "--roles", "karafka_big", "--dry-run").stdout
    assert [line.partition(":")[0] for line in plan.splitlines()] == ["host2"]
    assert not (yard.hosts["host2"] / "releases").exists()
    # And for a move to another manager
    plan = json.loads(yard.fab("karafka.migrate", "systemd", "--hosts", "host1", "--dry-run", "--json").stdout)
    assert [*names(plan)] == [("host1", "karafka-0")]


def test_a_restart_goes_on_against_the_preflight_for_a_reason_alone(yard: Grounds) -> None:
    # Given a broker that nobody listens on, which no preflight passes
    only = ("--hosts", "host1")
    yard.fab("deploy", *only)
    yard.fab("karafka.start", *only)
    yard.settings(
        kafka={"brokers": ["127.0.0.1:9"], "groups": ["nobody"]},
        rollout={"settle_seconds": 0, "gate_timeout_seconds": 1},
    )
    # When it is forced without a reason, that is refused
    assert "--reason" in yard.fab("karafka.restart", *only, "--force", code=2).stderr
    # When it is forced for one
    done = yard.fab("karafka.restart", *only, "--force", "--reason", "the brokers are away")
    # Then it goes on, and says against what
    assert "the preflight is overruled (the brokers are away)" in done.stderr
    assert "no broker answered" in done.stderr
    yard.settings()
    yard.fab("karafka.stop", *only)


def test_a_log_is_told_to_programs(yard: Grounds) -> None:
    # Given a line in the log of a process
    log = yard.hosts["host1"] / "shared/log/karafka-0.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("a line\n")
    # Then it is told with where it comes from
    told = json.loads(yard.fab("karafka.log", "--hosts", "host1", "--lines", "1", "--json").stdout)
    (process,) = told["hosts"][0]["processes"]
    assert (told["hosts"][0]["host"], process["name"], process["log"]) == ("host1", "karafka-0", ["a line"])


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
    for unlock in ("deploy.unlock", "karafka.unlock"):
        found = json.loads(yard.fab(unlock, "--reason", "gone home", "--json", "--yes").stdout)
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
        assert inv(project, "dead", *own, "--json", **brokers).stdout == "[]\n"
        assert json.loads(inv(project, "jobs.show", *own, "--json", **brokers).stdout)["jobs"] == 0
        assert "--watch" in inv(project, "jobs.show", *own, "--watch", "--json", code=2, **brokers).stderr
    finally:
        end(server)
        end(worker)


def test_routes_and_facts_are_of_the_app_that_is_named(project: Path) -> None:
    # Given an app of the user's own
    (project / "own_app.py").write_text(APP.format(name="typed"))
    # Then both tell of it
    routes = json.loads(inv(project, "routes", "--app", "own_app:app", "--json").stdout)
    assert {"typed-in", "typed-other"} <= {one["topic"] for one in routes}
    assert json.loads(inv(project, "info", "--app", "own_app:app", "--json").stdout)["app"] == "typed"


def test_what_is_not_there_is_told_of_a_sandbox(project: Path) -> None:
    # Given no sandbox
    # Then it is down, and there is nothing to end
    found = json.loads(in_process.inv(project, "sandbox.status", "--dir", "nowhere", "--json", code=3).stdout)
    assert found["up"] is False
    assert in_process.inv(project, "sandbox.down", "--dir", "nowhere").stdout == "no sandbox in nowhere\n"
    # And one without hosts, or without processes, is refused before anything begins
    for flag in ("--hosts", "--processes"):
        refused = in_process.inv(project, "sandbox.up", flag, "0", "--dir", "nowhere", "--json", code=2)
        assert flag.removeprefix("--") in refused.stderr
    assert not (project / "nowhere").exists()


def test_files_are_rendered_for_the_stage_that_is_named(project: Path) -> None:
    # Given two stages with a host each
    (project / "fabric.yaml").write_text(
        "karafka:\n  application: shop\n  deploy_to: /srv/shop\n  command: [python3, -m, ops, server]\n  stages:\n"
        "    blue: {hosts: [{host: b1}]}\n    green: {hosts: [{host: g1, deploy_to: /srv/green}]}\n"
    )
    # Then each has its own
    assert "/srv/shop/shared" in in_process.inv(project, "templates.render", "logrotate", "--stage", "blue").stdout
    assert "/srv/green/shared" in in_process.inv(project, "templates.render", "logrotate", "--stage", "green").stdout
    # And one that is not there is refused
    assert "red" in in_process.inv(project, "templates.render", "logrotate", "--stage", "red", code=2).stderr
