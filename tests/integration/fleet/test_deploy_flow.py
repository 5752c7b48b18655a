"""The flow of a deploy with real steps and a real repository on this machine, without a network between them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ops.core.errors import OpsError
from ops.core.protocol import Verb
from ops.core.release import ReleaseState
from ops.core.section import load
from ops.core.telling import Happening, HookBegun, HostRelease, Result, StageBegun, Table
from ops.fleet.deploy.execution import Execution
from ops.fleet.deploy.facts import Facts
from ops.fleet.deploy.fleet import Fleet
from ops.fleet.deploy.flow import Wanted, deploy_flow, rollback_flow
from ops.fleet.deploy.hooks import RESTART, Hook, Kind
from ops.fleet.deploy.outcome import Restart, Restarted
from ops.fleet.deploy.work import Work
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import Plan
from ops.fleet.report import Report
from ops.fleet.transport import Transport
from ops.fleet.transport.local import LocalTransport
from ops.node.releases import Releases
from tests.labs.agents_in_process import AgentsInProcess
from tests.labs.parts import GIT, require

WANTED = Wanted(git=True, build=False, verify=False)
STAGES = [stage.name for stage in deploy_flow((), WANTED).stages]
BACK = [stage.name for stage in rollback_flow(()).stages]


class Heard:
    """A narrator that keeps everything."""

    def __init__(self) -> None:
        self.events: list[Happening] = []

    def tell(self, event: Happening) -> None:
        self.events.append(event)

    @property
    def result(self) -> Result:
        last = self.events[-1]
        assert isinstance(last, Result)
        return last


class Project:
    """One host's folder, and a repository.

    Attributes
    ----------
    agents : the way to those that carry the steps out.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.agents: Transport = AgentsInProcess()
        self.root = folder / "app"
        self.releases = Releases(self.root)
        self.source = folder / "source"
        self.others: list[dict[str, str]] = []
        self.source.mkdir(parents=True)
        self.root.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        (self.source / "file").write_text("one\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "one")

    def git(self, *words: str) -> str:
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        argv = ["git", *who, *words]
        return subprocess.run(argv, cwd=self.source, capture_output=True, text=True, check=True, timeout=30).stdout

    def run(
        self, *hooks: Hook, back: bool = False, branch: str = "main", restart: Restart | None = None, **more: Any
    ) -> Heard:
        """Deploy, or roll back; processes are nobody's here."""
        heard = Heard()
        section = {
            "application": "yard",
            "deploy_to": str(self.root),
            "command": [sys.executable, "nothing.py"],
            "agent_python": sys.executable,
            "repo_url": str(self.source),
            "build": False,
            "stages": {"test": {"hosts": [{"host": "host1"}, *self.others]}},
        }
        settings = load({**section, **more})
        fleet = Fleet(settings, select(settings, Selection()), self.agents, heard, None)
        flow = rollback_flow(hooks) if back else deploy_flow(hooks, WANTED)
        work = Work(fleet, "somebody", branch=branch)
        code = Execution(flow, fleet, work, restart or _nobody(), None, self.folder).run()
        assert heard.result.exit_code == code
        return heard


def _nobody() -> Restart:
    def restart(hosts: Sequence[str], force: str, *, outdated: bool) -> Any:
        raise AssertionError((hosts, force, outdated))

    return restart


@pytest.fixture
def project(tmp_path: Path) -> Project:
    require(GIT)
    return Project(tmp_path)


def failing(stage: str, when: str = "before") -> Hook:
    def body(_: object, facts: Facts) -> None:
        raise RuntimeError(f"not on a {facts.stage} day")

    return Hook("moody", Kind.PYTHON, when, stage, body=body)


def test_a_hook_that_fails_ends_the_flow_in_whatever_stage(project: Project) -> None:
    # Given a release that is current
    project.run()
    before = project.releases.current()
    for number, stage in enumerate(STAGES):
        seen: list[str] = []
        told = Hook("told", Kind.PYTHON, "after", "failed", body=lambda _, facts, seen=seen: seen.append(facts.error))
        # When a hook before a stage fails
        heard = project.run(failing(stage), told)
        # Then the flow ends there with its words, and hooks after `failed` are told of it
        assert heard.result.exit_code == 1
        assert f"deploy:{stage} failed: the hook moody failed: not on a test day" in heard.result.message
        assert seen == ["the hook moody failed: not on a test day"]
        begun = [one.stage for one in heard.events if isinstance(one, StageBegun)]
        assert begun == [*STAGES[: number + 1], "failed"]
        # And up to `publishing` current is where it was; later it says what to do
        now = project.releases.current()
        published = number >= STAGES.index("published")
        assert (now > before) == published
        assert ("fab test deploy.rollback" in heard.result.message) == published
        assert ("current was not touched" in heard.result.message) != published
        assert Table((HostRelease("host1", now, project.releases.get(now).previous),)) in heard.events
        before = now
    # And what was made and never published is bad: nothing may go back to it
    made = [one for one in project.releases.all() if not one.published_at]
    assert made
    assert {one.state for one in made} == {ReleaseState.BAD}


def test_what_is_no_error_of_a_hook_ends_the_flow_as_one_too(project: Project) -> None:
    # Given a release that is current, and an executable that is gone when its turn comes
    project.run()
    before = project.releases.current()
    path = project.folder / "gone"

    def leaves(_: object, __: Facts) -> None:
        raise SystemExit(3)

    gone = Hook("gone", Kind.HOSTS, "before", "published", path=path)
    for hook in (Hook("leaves", Kind.PYTHON, "after", "publishing", body=leaves), gone):
        seen: list[str] = []
        told = Hook("told", Kind.PYTHON, "after", "failed", body=lambda _, facts, seen=seen: seen.append(facts.error))
        # When the deploy comes to it, or to a function that calls sys.exit
        heard = project.run(hook, told)
        # Then the flow ends there as by any hook that fails, and hooks after `failed` are told
        assert heard.result.exit_code == 1
        assert len(seen) == 1
        assert "it exited with 3" in seen[0] or str(path) in seen[0]
    assert project.releases.current() > before


def test_a_hook_that_fails_ends_a_rollback_in_whatever_stage(project: Project) -> None:
    # Given two releases
    project.run()
    first = project.releases.current()
    project.run()
    for number, stage in enumerate(BACK):
        second = project.releases.current()
        # When a hook before a stage of the rollback fails
        heard = project.run(failing(stage), back=True)
        # Then it ends there, and before `publishing` nothing was changed
        assert heard.result.exit_code == 1
        back = number >= BACK.index("published")
        assert project.releases.current() == (first if back else second)
        if back:  # forth again
            project.run()
            assert project.releases.get(project.releases.current()).previous == first


def test_hooks_run_around_their_stage_with_the_facts(project: Project, tmp_path: Path) -> None:
    # Given agents that are processes of their own, and executables that write down what they are told
    project.agents = LocalTransport()
    told = tmp_path / "told"
    folder = tmp_path / ".karafka" / "hooks"
    folder.mkdir(parents=True)
    script = folder / "before-published"
    script.write_text(f"#!/bin/sh\nenv > {told}\npwd >> {told}\necho line\n")
    script.chmod(0o755)
    remote = folder / "after-updating"
    remote.write_text(f'#!{sys.executable}\nimport os\nopen("hooked", "w").write(os.environ["KARAFKA_RELEASE"])\n')
    remote.chmod(0o755)
    hooks = (
        Hook("before-published", Kind.LOCAL, "before", "published", path=script),
        Hook("after-updating", Kind.HOSTS, "after", "updating", path=remote),
    )
    # When it is deployed
    heard = project.run(*hooks, branch="main")
    # Then they had everything
    release, sha = project.releases.current(), project.git("rev-parse", "HEAD").strip()
    lines = told.read_text().splitlines()
    assert {
        f"KARAFKA_RELEASE={release}", f"KARAFKA_REVISION={sha}", "KARAFKA_STAGE=test", "KARAFKA_HOSTS=host1",
        "KARAFKA_PERFORMER=somebody", "KARAFKA_HOOK=before-published", "KARAFKA_BRANCH=main",
        "KARAFKA_PREVIOUS_RELEASE=", "KARAFKA_FLOW=deploy", str(tmp_path),
    } <= set(lines)  # fmt: skip
    assert (project.root / "current" / "hooked").read_text() == release
    names = [one.name for one in heard.events if isinstance(one, HookBegun)]
    assert names == ["after-updating", "before-published"]


@pytest.mark.parametrize(
    ("branch", "more", "words"),
    [
        ("nowhere", {}, "'nowhere' is no branch, tag or commit"),
        ("main", {"repo_url": "/nowhere/at/all"}, "the repository cannot be read"),
        ("main", {"linked_files": ["secrets.yml"]}, "secrets.yml is missing"),
        ("main", {"kafka": {"brokers": ["127.0.0.1:1"]}}, "no broker takes a connection from here: 127.0.0.1:1"),
    ],
)
def test_what_is_in_the_way_is_said_before_anything_is_moved(
    project: Project, branch: str, more: dict[str, Any], words: str
) -> None:
    # Given a host, and something that is not as it has to be
    # When it is deployed
    heard = project.run(branch=branch, **more)
    # Then it says so, and there is no release
    assert heard.result.exit_code == 1
    assert words in json.dumps(heard.result.message)
    assert project.releases.all() == ()
    assert project.releases.current() == ""


def test_a_branch_that_moves_on_a_mirror_that_broke_and_a_commit_by_its_name(project: Project) -> None:
    # Given a release, a mirror that broke, and a branch that was moved and one that is gone
    first = project.git("rev-parse", "HEAD").strip()
    project.run()
    (project.root / "repo" / "config").write_text("garbage\n")
    (project.source / "file").write_text("two\n")
    project.git("commit", "--quiet", "--all", "--message", "two")
    # When it is deployed
    project.run()
    # Then the mirror was made anew, and the release is of the branch as it is
    assert (project.root / "current" / "file").read_text() == "two\n"
    # And a commit can be named, too
    heard = project.run(branch=first[:10])
    assert heard.result.revision == first
    assert (project.root / "current" / "file").read_text() == "one\n"
    lines = (project.root / "revisions.log").read_text().splitlines()
    assert lines[-1] == f"Branch {first[:10]} (at {first}) deployed as release {project.releases.current()} by somebody"


def test_a_fleet_that_was_switched_in_part_is_switched_back(project: Project, tmp_path: Path) -> None:
    # Given two hosts with a release, and a link that cannot be replaced on the second when its turn comes
    other = tmp_path / "other"
    other.mkdir()
    project.others = [{"host": "host2", "deploy_to": str(other)}]
    project.run()
    before = project.releases.current()

    def body(*_: object) -> None:
        (other / "current").unlink()
        (other / "current" / "in the way").mkdir(parents=True)

    # When it is deployed
    heard = project.run(Hook("bully", Kind.PYTHON, "before", "publishing", body=body))
    # Then the first host leads where it led before, the release is bad on both, and all that is said
    assert heard.result.exit_code == 1
    assert f"host2: {other}/current: current cannot be switched" in heard.result.message
    assert "current leads where it led before" in heard.result.message
    assert project.releases.current() == before
    assert Releases(other).current() == ""
    for releases in (project.releases, Releases(other)):
        assert releases.all()[-1].state is ReleaseState.BAD
    table = next(one for one in heard.events if isinstance(one, Table))
    assert [(one.host, one.current) for one in table.rows] == [("host1", before), ("host2", "")]
    # And once it is out of the way, the next deploy goes through
    (other / "current" / "in the way").rmdir()
    (other / "current").rmdir()
    project.run()
    assert project.releases.current() == Releases(other).current() > before


def test_a_first_deploy_that_fails_names_no_way_back(project: Project) -> None:
    # Given hosts without any release
    # When the first one fails after current was switched
    heard = project.run(failing("published"))
    # Then it is said how to go on, and nothing of a release before
    assert "to go on: " in heard.result.message
    assert "deploy.rollback" not in heard.result.message


def test_only_a_rollout_that_fails_is_rolled_back(project: Project) -> None:
    # Given two releases, settings that roll back by themselves, and a restart that goes well
    project.run()
    asked: list[tuple[object, ...]] = []

    def restart(hosts: Sequence[str], force: str, *, outdated: bool) -> Restarted:
        asked.append((*hosts, force, outdated))
        return Restarted(Report(Plan(Verb.RESTART, "test", (), 0, 1), ()))

    # When a hook after it fails
    heard = project.run(RESTART, failing("finished", "after"), restart=restart, auto_rollback=True)
    # Then the release stays, which is said
    assert heard.result.exit_code == 1
    assert asked == [("host1", "", False)]
    assert project.releases.current() == heard.result.release
    assert "was restarted before that\nto go back: fab test deploy.rollback" in heard.result.message


def test_a_flow_without_anything_to_go_back_to_changes_nothing(project: Project) -> None:
    # Given one release
    project.run()
    before = project.releases.all()
    # When it is rolled back
    heard = project.run(back=True)
    # Then it says that there is nothing, and nothing has changed
    assert heard.result.exit_code == 1
    assert "there is nothing to roll back to" in heard.result.message
    assert project.releases.all() == before


def test_the_operator_of_a_hook_is_never_hidden(project: Project) -> None:
    # Given a hook that raises an error of ours
    def body(*_: object) -> None:
        raise OpsError("the marker could not be set", where="https://example.com", hint="later")

    # When it is deployed
    heard = project.run(Hook("marker", Kind.PYTHON, "after", "finished", body=body))
    # Then its text is the result's, hint and all
    assert "https://example.com: the marker could not be set\n  later" in heard.result.message
