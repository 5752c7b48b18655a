"""What a deploy will do, as data: the flow with its hooks, names of releases, where a rollback goes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.errors import OpsError, UsageError
from ops.core.release import DeployAnswer, Release, ReleaseState
from ops.fleet.deploy import flow, hooks
from ops.fleet.deploy.artifact import describe, parts
from ops.fleet.deploy.fleet import check_python
from ops.fleet.deploy.work import going_back, new_name

FULL = flow.Wanted(git=True, build=True, verify=True)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    known = hooks._registered.copy()
    yield
    hooks._registered[:] = known


def executable(folder: Path, name: str) -> None:
    path = folder / hooks.FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_the_plan_has_capistranos_stages_and_every_hook_at_its_place(tmp_path: Path) -> None:
    # Given hooks of all kinds around one stage
    @hooks.before("deploy:publishing")
    def announce(*_: object) -> None: ...

    for name in ("before-publishing.2", "before-publishing.10", "after-publishing"):
        executable(tmp_path, name)
    found = hooks.executables(tmp_path, {"after-publishing": "hosts"})
    # When the flow is made and shown
    made = flow.deploy_flow((*hooks.functions(), *found, hooks.RESTART), FULL)
    shown = flow.lines(made)
    # Then stages are Capistrano's, in its order
    assert [line for line in shown if line.startswith("deploy:")] == [
        f"deploy:{name}" for name in hooks.STAGES[:8]
    ]  # fmt: skip
    # And within one: functions, then executables by name, then the steps, then what comes after
    begin = shown.index("deploy:publishing")
    assert [line.split()[1] for line in shown[begin + 1 : begin + 7]] == [
        "announce", "before-publishing.10", "before-publishing.2", "first", "all", "after-publishing",
    ]  # fmt: skip
    assert shown[-1] == "  after   karafka.restart (the rollout)"
    # And as data there are the same
    data = flow.as_json(made)["stages"]
    assert isinstance(data, list)
    assert data[4]["steps"] == ["verify", "publish"]
    assert data[4]["after"] == [{"name": "after-publishing", "where": "on the hosts"}]
    # And a rollback goes through stages of its own
    back = [stage.name for stage in flow.rollback_flow(()).stages]
    assert back == [
        "starting", "started", "reverting", "reverted", "publishing", "published", "finishing_rollback", "finished",
    ]  # fmt: skip


def test_what_is_no_hook_is_refused_by_name(tmp_path: Path) -> None:
    # Given names of no stage, files that cannot be executed, settings for what is not there
    with pytest.raises(UsageError, match="no stage 'deploy:deploying'"):
        hooks.before("deploy:deploying")
    with pytest.raises(UsageError, match=r"hooks\.after-updated"):
        hooks.executables(tmp_path, {"after-updated": "hosts"})
    executable(tmp_path, "before-updated")
    (tmp_path / hooks.FOLDER / "before-updated").chmod(0o644)
    with pytest.raises(UsageError, match="chmod"):
        hooks.executables(tmp_path, {})
    executable(tmp_path, "before-updated")
    executable(tmp_path, "beforehand")
    # Then each is named
    with pytest.raises(UsageError, match="beforehand"):
        hooks.executables(tmp_path, {})


def test_a_release_is_named_after_the_time_and_beyond_all_that_there_are() -> None:
    # Given a moment, and releases before it, at it, and by a clock that was ahead
    moment = 1_800_000_000.0
    assert new_name([], moment) == "20270115080000"
    assert new_name([Release("20270115075959"), Release("x")], moment) == "20270115080000"
    # Then the next one is always later than the newest, across the end of a year too; what is no time is ignored
    assert new_name([Release("20270115080000")], moment) == "20270115080001"
    assert new_name([Release("20271231235959"), Release("99999999999999")], moment) == "20280101000000"


def at(number: str) -> str:
    """Name a release."""
    return f"2026010100000{number}" if number else ""


def answer(current: str, previous: str, *numbers: str, bad: str = "") -> DeployAnswer:
    states = {bad: ReleaseState.BAD}
    releases = [Release(at(number), states.get(number, ReleaseState.WHOLE)) for number in numbers]
    return DeployAnswer(at(current), at(previous), tuple(releases))


def test_a_rollback_goes_to_what_is_good_on_every_host() -> None:
    # Given hosts that agree
    assert going_back({"a": answer("3", "2", "1", "2", "3"), "b": answer("3", "2", "1", "2", "3")}, "") == at("2")
    # And a deploy or rollback that was broken off between two hosts: then from the newest one
    assert going_back({"a": answer("3", "2", "1", "2", "3"), "b": answer("2", "1", "1", "2", "3")}, "") == at("2")
    # And one that is bad, or was never there, on one of them
    whole = answer("3", "2", "1", "2", "3")
    assert going_back({"a": whole, "b": answer("3", "1", "1", "2", "3", bad="2")}, "") == at("1")
    assert going_back({"a": whole, "b": answer("3", "1", "1", "3")}, "") == at("1")
    # And by name also to a bad one
    there = {"a": answer("3", "1", "1", "2", "3", bad="2")}
    assert going_back(there, at("2")) == at("2")
    # Then what is not there, or current already, or has nothing before it, is refused
    for wanted, words in ((at("9"), f"release {at('9')} is not there"), (at("3"), "current already")):
        with pytest.raises(OpsError, match=words):
            going_back(there, wanted)
    with pytest.raises(OpsError, match="nothing to roll back to from 20260101000001"):
        going_back({"a": answer("1", "", "1")}, "")


@pytest.mark.parametrize(
    ("argv", "python"),
    [
        ((".venv/bin/python", "-m", "ops", "server"), ".venv/bin/python"),
        (("python3.12", "-m", "ops"), "python3.12"),
        ((".venv/bin/serve", "--fast"), ".venv/bin/python"),
        (("bundle", "exec", "karafka"), ""),
    ],
)
def test_the_interpreter_of_a_release_is_told_by_its_command(argv: tuple[str, ...], python: str) -> None:
    # Then it is the command itself, or beside it; a bare name tells nothing
    assert check_python(argv) == python


def test_an_artifact_is_described_and_given_in_parts(tmp_path: Path) -> None:
    # Given a file of some megabytes
    path = tmp_path / "app.tar.gz"
    path.write_bytes(b"0123456789" * 300_000)
    told: list[int] = []
    # Then its parts make the whole, and what went is told now and then, and at the end
    assert b"".join(parts(path, told.append)) == path.read_bytes()
    assert told[-1] == describe(path).size == 3_000_000
    assert told == sorted(told)
    # And what cannot be unpacked, or is not there, is refused
    for name, words in (("app.zip", "ends in"), ("missing.whl", "No such file")):
        with pytest.raises(UsageError, match=words):
            describe(tmp_path / name)
