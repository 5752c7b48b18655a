"""A restart of what is outdated alone: which processes of a plan are due, and why; the others are left alone.

Due is what runs another release than `current` of its host, by the word of the host's agent (`ops.node.outdated`), what
nobody knows the release of, and what does not run. The plan says which that is before the first one is touched; an
agent looks once more when it is a process's turn.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ops.core import records
from ops.core.amounts import counted
from ops.core.evidence import Evidence
from ops.core.process import already_on
from ops.core.protocol import ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.core.settings import Settings
from ops.fleet.batches import in_batches
from ops.fleet.plan import HostAction, Kept, Plan, deadline_seconds
from ops.fleet.report import Report


def only_outdated(plan: Plan) -> Plan:
    """Return a restart as one of what is outdated; which processes that are, `narrowed` says by a look at the hosts."""

    def change(action: HostAction) -> HostAction:
        specs = tuple(records.replace(spec, only_outdated=True) for spec in action.request.processes)
        return _about(action, specs)

    return replace(plan.changed(change), outdated=True)


def narrowed(settings: Settings, plan: Plan, report: Report) -> Plan:
    """Return the plan with what is due alone, its hosts divided into batches anew.

    Parameters
    ----------
    report : of a status of the plan's hosts; all of a host that did not answer is due.
    """
    answers = {one.host: one.response for one in report.outcomes if one.response is not None}
    due, kept = [], []
    for action in (action for batch in plan.batches for action in batch):
        answer = answers.get(action.target.name)
        said = {one.name: one for one in answer.processes} if answer is not None else {}
        reasons = {spec.name: _why(said.get(spec.name), action) for spec in action.request.processes}
        specs = tuple(spec for spec in action.request.processes if reasons[spec.name])
        left = tuple(_left(said[name]) for name, reason in reasons.items() if not reason)
        if specs:
            due.append(replace(_about(action, specs), why={name: reason for name, reason in reasons.items() if reason}))
        if left:
            kept.append(Kept(_about(action, ()), left))
    rolling = settings.rollout.strategy == "rolling"
    return replace(plan, batches=in_batches(settings, tuple(due), rolling=rolling), kept=tuple(kept))


def nothing_to_do(plan: Plan) -> str:
    """Return in words that nothing of a plan is outdated."""
    return f"nothing is outdated: {_kept(plan)} what current leads to"


def lines(plan: Plan) -> Iterator[str]:
    """Yield in words what is due, by reason, and how much is left alone."""
    names: dict[str, list[str]] = {}
    for action in (action for batch in plan.batches for action in batch):
        for process, reason in action.why.items():
            names.setdefault(reason, []).append(f"{action.target.name} {process}")
    for reason, some in names.items():
        yield f"outdated: {', '.join(some)}: {reason}"
    if plan.kept:
        yield f"left alone: {_kept(plan)} what current leads to"


def rest_of(
    evidence: Evidence, hosts: str | None = None, roles: str | None = None, processes: str | None = None
) -> str:
    """Return the command that restarts what a restart that was broken off has left; empty where that is nothing.

    Where all that is left runs another release than `current`, that is what is outdated; else only its hosts name it.

    Parameters
    ----------
    hosts, roles, processes : what the restart was for, by its options.
    """
    own = [slot for slot in evidence.slots if not slot.superfluous and not slot.kept]
    left = [slot for slot in own if not (slot.batch and slot.ok)]
    if not left or not any(slot.batch for slot in own):
        return ""
    words = ["fab", evidence.stage, "karafka.restart"]
    if all(slot.outdated for slot in left):
        words.append("--outdated")
    else:
        hosts = ",".join(dict.fromkeys(slot.host for slot in left))
    for option, value in (("--hosts", hosts), ("--roles", roles), ("--processes", processes)):
        words += [option, value] if value else []
    return shlex.join(words)


def _kept(plan: Plan) -> str:
    return counted(sum(len(one.processes) for one in plan.kept), "process runs", "processes run")


def _why(report: ProcessReport | None, action: HostAction) -> str:
    if report is None:
        return f"{action.target.name} did not say how it is"
    return str(report.outdated)


def _left(report: ProcessReport) -> ProcessReport:
    return records.replace(report, message=already_on(report.release), kept=True)


def _about(action: HostAction, specs: tuple[ProcessSpec, ...]) -> HostAction:
    """Return a host action for these of its processes."""
    request = records.replace(action.request, processes=specs)
    return replace(action, request=request, deadline_seconds=deadline_seconds(request))
