"""The flow as data: stages with their hooks and steps, named and ordered as in Capistrano 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from ops.fleet.deploy.hooks import Hook, around

DEPLOY = "deploy"
ROLLBACK = "deploy.rollback"


class Step(StrEnum):
    """What is done within a stage; each but the last two takes one exec a host."""

    CHECK = "check"
    RESOLVE = "resolve"
    UPDATE = "update"
    BUILD = "build"
    VERIFY = "verify"
    PUBLISH = "publish"
    FINISH = "finish"
    TARGET = "target"  # choose the release to go back to


TEXTS = {
    Step.CHECK: "all hosts: look whether anything is in the way",
    Step.RESOLVE: "two hosts, or the only one: mirror the repository, agree on the commit",
    Step.UPDATE: "all hosts: make the release, link what is shared",
    Step.BUILD: "all hosts: build the release",
    Step.VERIFY: "first host: compare the topics of the release with the cluster",
    Step.PUBLISH: "all hosts: let current lead to it",
    Step.FINISH: "all hosts: write revisions.log, remove old releases",
    Step.TARGET: "choose the release to go back to",
}


@dataclass(frozen=True)
class Stage:
    """One stage: hooks before it, its steps, hooks after it."""

    name: str
    before: tuple[Hook, ...]
    steps: tuple[Step, ...]
    after: tuple[Hook, ...]


@dataclass(frozen=True)
class Flow:
    """All stages in order; `failed` takes the place of those that are left when one fails."""

    name: str
    stages: tuple[Stage, ...]
    failed: Stage


@dataclass(frozen=True)
class Wanted:
    """What decides which steps a deploy has."""

    git: bool
    build: bool
    verify: bool


def deploy_flow(hooks: Sequence[Hook], wanted: Wanted) -> Flow:
    """Give the flow of a deploy."""
    resolve = (Step.RESOLVE,) if wanted.git else ()
    build = (Step.BUILD,) if wanted.build else ()
    verify = (Step.VERIFY,) if wanted.verify else ()
    steps: dict[str, tuple[Step, ...]] = {
        "starting": (Step.CHECK,),
        "started": resolve,
        "updating": (Step.UPDATE, *build),
        "updated": (),
        "publishing": (*verify, Step.PUBLISH),
        "published": (),
        "finishing": (Step.FINISH,),
        "finished": (),
    }
    return _flow(DEPLOY, steps, hooks)


def rollback_flow(hooks: Sequence[Hook]) -> Flow:
    """Give the flow of a rollback."""
    steps: dict[str, tuple[Step, ...]] = {
        "starting": (Step.TARGET,),
        "started": (),
        "reverting": (),
        "reverted": (),
        "publishing": (Step.PUBLISH,),
        "published": (),
        "finishing_rollback": (Step.FINISH,),
        "finished": (),
    }
    return _flow(ROLLBACK, steps, hooks)


def lines(flow: Flow) -> list[str]:
    """Give the flow as lines for people: every stage, step and hook."""
    found = []
    for stage in flow.stages:
        found.append(f"deploy:{stage.name}")
        found += [f"  before  {one.name} ({one.where})" for one in stage.before]
        found += [f"  {step.value:<7} {TEXTS[step]}" for step in stage.steps]
        found += [f"  after   {one.name} ({one.where})" for one in stage.after]
    if flow.failed.before or flow.failed.after:
        found.append("deploy:failed, where a stage fails")
        found += [f"  {one.when:<7} {one.name} ({one.where})" for one in (*flow.failed.before, *flow.failed.after)]
    return found


def as_json(flow: Flow) -> dict[str, object]:
    """Give the flow as JSON data."""
    return {"flow": flow.name, "stages": [_stage_data(one) for one in (*flow.stages, flow.failed)]}


def _stage_data(stage: Stage) -> dict[str, object]:
    hooks = {when: [{"name": one.name, "where": one.where} for one in some] for when, some in (
        ("before", stage.before), ("after", stage.after),
    )}  # fmt: skip
    return {"stage": f"deploy:{stage.name}", **hooks, "steps": [str(one) for one in stage.steps]}


def _flow(name: str, steps: dict[str, tuple[Step, ...]], hooks: Sequence[Hook]) -> Flow:
    def stage(one: str, own: tuple[Step, ...]) -> Stage:
        return Stage(one, around(hooks, "before", one), own, around(hooks, "after", one))

    return Flow(name, tuple(stage(one, own) for one, own in steps.items()), stage("failed", ()))
