"""What the steps of the flow do, and what is known of the deploy meanwhile."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ops import __version__
from ops.core.errors import ExitCode, OpsError
from ops.core.interpreters import OLDEST
from ops.core.release import NAME, Artifact, DeployAction, DeployAnswer, Release, ReleaseState, is_newer
from ops.core.retention import previous_of
from ops.core.settings import Settings
from ops.core.telling import Said, Uploaded
from ops.fleet.deploy import artifact as artifacts
from ops.fleet.deploy.fleet import TRANSFER_SECONDS, Fleet, StepFailedError, answers, check_python, require
from ops.fleet.deploy.flow import Step, Wanted
from ops.fleet.deploy.revision import resolve

_VERIFY_SECONDS = 60.0
_CHOSEN = (ReleaseState.WHOLE, ReleaseState.BAD)  # by name one may go to a bad one, too
_RELEASE_FORMAT = "%Y%m%d%H%M%S"
_LATEST = "99981231235959"


@dataclass
class Deployed:
    """What is known of a deploy while it runs.

    Attributes
    ----------
    release, revision, branch : what is deployed, or gone back to.
    leaving : of a rollback, the release that is bad.
    begun : whether hosts may have (part of) the release.
    before : host -> what `current` led to, of those where it was switched.
    previous : what it led to on the first host.
    remarks : what hosts could not do though it kept nothing from going on, in words.
    """

    performer: str
    release: str = ""
    revision: str = ""
    branch: str = ""
    leaving: str = ""
    previous: str = ""
    begun: bool = False
    before: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class Work:
    """Takes the steps of a deploy or rollback.

    Parameters
    ----------
    path : of the artifact; None for git.
    branch : what is deployed of the repository.
    wanted : the release to go back to; empty for the one before.
    """

    def __init__(
        self,
        fleet: Fleet,
        performer: str,
        *,
        path: Path | None = None,
        artifact: Artifact | None = None,
        branch: str = "",
        wanted: str = "",
    ) -> None:
        self.fleet = fleet
        self.done = Deployed(performer, branch=branch)
        self._settings = fleet.settings
        self._path = path
        self._artifact = artifact
        self._wanted = wanted
        self._from = ""  # of a rollback: what it goes back from
        self._there: Mapping[str, DeployAnswer] = {}

    def take(self, step: Step) -> None:
        """Take a step.

        Raises
        ------
        OpsError : it failed, on some hosts or as a whole.
        """
        steps: dict[Step, Callable[[], None]] = {
            Step.CHECK: self._check,
            Step.RESOLVE: self._resolve,
            Step.UPDATE: self._update,
            Step.BUILD: self._build,
            Step.VERIFY: self._verify,
            Step.PUBLISH: self._publish,
            Step.FINISH: self._finish,
            Step.TARGET: self._target,
        }
        steps[step]()

    def _check(self) -> None:
        self._there = check(self.fleet, self._artifact)
        self.done.previous = next(iter(self._there.values())).current
        self.done.release = new_name((one for each in self._there.values() for one in each.releases), time.time())
        if self._artifact is not None:
            self.done.revision = self.done.revision or f"sha256:{self._artifact.digest[:16]}"

    def _resolve(self) -> None:
        self.done.revision = resolve(self.fleet, self.done.branch)

    def _update(self) -> None:
        self.done.begun = True
        found = self.fleet.ask(
            DeployAction.UPDATE,
            seconds=TRANSFER_SECONDS,
            payload=self._payload if self._path is not None else None,
            source=self._settings.repo_url or "",
            tree=self._settings.repo_tree or "",
            strip=self._settings.strip_components,
            artifact=self._artifact,
            linked_dirs=self._settings.linked_dirs,
            linked_files=self._settings.linked_files,
            build=self._settings.build_argv,
            **self._names,
        )
        self._keep_remarks(found)

    def _build(self) -> None:
        seconds = self._settings.build_timeout_seconds
        self.fleet.ask(DeployAction.BUILD, seconds=seconds, **_build_of(self._settings), **self._names)

    def _verify(self) -> None:
        first = self.fleet.only(self.fleet.names[:1])
        python = check_python(self._settings.argv)
        first.ask(DeployAction.VERIFY, seconds=_VERIFY_SECONDS, python=python, **self._names)

    def _publish(self) -> None:
        reason = f"rolled back by {self.done.performer}" if self.done.leaving else ""
        self.done.before = {name: one.current for name, one in self._there.items()}
        report = self.fleet.report(DeployAction.PUBLISH, leaving=self.done.leaving, reason=reason, **self._names)
        found = answers(report.outcomes)
        unsure = {one.host for one in report.outcomes if one.host not in found and one.batch}
        self.done.before = {name: was for name, was in self.done.before.items() if name in found or name in unsure}
        require(report, DeployAction.PUBLISH)

    def _finish(self) -> None:
        keep = self._settings.keep_releases
        self._keep_remarks(self.fleet.ask(DeployAction.FINISH, keep=keep, leaving=self._from, **self._names))

    def _keep_remarks(self, found: Mapping[str, DeployAnswer]) -> None:
        for host, answer in found.items():
            new = (f"{host}: {text}" for text in answer.remarks)
            self.done.remarks += [text for text in new if text not in self.done.remarks]

    def _target(self) -> None:
        self._there = there = self.fleet.ask(DeployAction.LIST)
        first = next(iter(there.values()))
        self.done.previous = first.current
        target = going_back(there, self._wanted)
        self._from = base = max(one.current for one in there.values())
        record = next(one for one in first.releases if one.name == target)
        self.done.release, self.done.revision, self.done.branch = target, record.revision, record.branch
        self.done.leaving = "" if is_newer(target, base) else base
        self.fleet.narrator.tell(Said(f"going back to release {target}, from {base or 'nothing'}"))

    @property
    def _names(self) -> dict[str, Any]:
        done = self.done
        return {
            "release": done.release,
            "revision": done.revision,
            "branch": done.branch,
            "performer": done.performer,
        }

    def _payload(self, host: str) -> Callable[[], Iterable[bytes]]:
        assert self._path is not None
        assert self._artifact is not None
        path, size, narrator = self._path, self._artifact.size, self.fleet.narrator
        return partial(artifacts.parts, path, lambda sent: narrator.tell(Uploaded(host, sent, size)))


def check(fleet: Fleet, artifact: Artifact | None) -> Mapping[str, DeployAnswer]:
    """Look on all hosts whether anything is in the way of a deploy; gives what they have.

    Raises
    ------
    StepFailedError : something is, or a host cannot be asked.
    """
    settings = fleet.settings
    found = fleet.ask(
        DeployAction.CHECK,
        artifact=artifact,
        source=settings.repo_url or "",
        linked_dirs=settings.linked_dirs,
        linked_files=settings.linked_files,
        brokers=settings.kafka.brokers if settings.kafka.observe_from == "host" else (),
        wall=time.time(),
        stage=settings.stage,
        tool=__version__,
        **_build_of(settings),
    )
    bad = [f"{name}: {trouble}" for name, one in found.items() for trouble in one.troubles]
    if bad:
        raise StepFailedError(f"not fit for a deploy: {'; '.join(bad)}", ExitCode.FAILED)
    return found


def _build_of(settings: Settings) -> dict[str, Any]:
    """Return what the agents are told of the build."""
    return {
        "build": settings.build_argv,
        "env": {name: str(value) for name, value in settings.env.items()},
        "oldest": OLDEST if settings.app is not None and settings.argv[0].startswith(".venv/") else (),
    }


def new_name(there: Iterable[Release], now: float) -> str:
    """Name a release after the time of day in UTC; always beyond all that there are, whatever the clocks say.

    Raises
    ------
    OpsError : there is one at the end of all times.
    """
    newest = max((one.name for one in there if NAME.fullmatch(one.name) and _seconds(one.name)), default="")
    if newest > _LATEST:
        hint = "no release can be named after it: remove it, or give the folder another name"
        raise OpsError(f"a host has a release of the year {newest[:4]}: {newest}", hint=hint)
    while (name := time.strftime(_RELEASE_FORMAT, time.gmtime(now))) <= newest:
        now = max(now + 1, _seconds(newest) + 1)
    return name


def _seconds(name: str) -> float:
    try:
        return float(calendar.timegm(time.strptime(name, _RELEASE_FORMAT)))
    except ValueError:  # fourteen digits that are no time
        return 0.0


def going_back(there: Mapping[str, DeployAnswer], wanted: str) -> str:
    """Choose the release that all hosts go back to.

    Where hosts differ, a deploy or rollback was broken off: then it is what the newest of them had before.

    Parameters
    ----------
    wanted : the release by name; empty for the one before.

    Raises
    ------
    OpsError : there is none.
    """
    hint = "nothing was changed; fab deploy.releases shows what there is"
    base = max(one.current for one in there.values())
    first = next(one for one in there.values() if one.current == base)
    target = wanted or previous_of([_everywhere(one, there) for one in first.releases], base)
    if not target:
        raise OpsError(f"there is nothing to roll back to from {base or 'no release'}", hint=hint)
    for name, one in there.items():
        if not any(each.name == target and each.state in _CHOSEN and each.built for each in one.releases):
            raise OpsError(f"release {target} is not there, or not whole", where=name, hint=hint)
    if all(one.current == target for one in there.values()):
        raise OpsError(f"release {target} is current already", hint=hint)
    return target


def _everywhere(release: Release, there: Mapping[str, DeployAnswer]) -> Release:
    """Give a release as it is on all hosts: bad where one of them does not have it, or not good."""
    good = all(any(each.name == release.name and each.good for each in one.releases) for one in there.values())
    return release if good else replace(release, state=ReleaseState.BAD)


def wanted_steps(fleet: Fleet, *, git: bool) -> Wanted:
    """Say which steps a deploy has by its settings."""
    settings = fleet.settings
    verify = settings.app is not None and bool(check_python(settings.argv))
    return Wanted(git=git, build=settings.build_argv is not None, verify=verify)
