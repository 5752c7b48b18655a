"""A plan as text and as JSON, for `--dry-run`; environments stay out of it: they may hold secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ops.core.amounts import in_seconds
from ops.core.protocol import Verb
from ops.fleet import outdated
from ops.fleet.agent_command import shown
from ops.fleet.plan import HostAction, Kept, Plan


def lines(plan: Plan, unasked: Sequence[str] = ()) -> list[str]:
    """Give the plan as lines for people.

    Parameters
    ----------
    unasked : hosts that did not answer what else they run.
    """
    several = len(plan.batches) > 1
    found = [f"{plan.verb}, stage {plan.stage}: nothing is done, this is the plan"]
    if plan.superfluous:
        found.append("first the stop of what the settings have no slot for")
        found += [f"  {action.target.name} ({_place(action)}): {_order(action)}" for action in plan.superfluous]
    found += [f"{name} did not answer: what it runs beside its slots is not known" for name in unasked]
    if plan.outdated:
        found += outdated.lines(plan) if plan.batches else [outdated.nothing_to_do(plan)]
    for number, batch in enumerate(plan.batches, start=1):
        if several:
            found.append(f"batch {number} of {len(plan.batches)}")
        for action in batch:
            found.append(f"  {action.target.name} ({_place(action)}): {_order(action)}")
            found.append(f"    by {shown(action.agent)}, within {in_seconds(action.deadline_seconds)}")
    if several:
        failures = f"more than {plan.max_failures} hosts have" if plan.max_failures else "a host has"
        found.append(f"no batch begins once {failures} failed")
    if plan.verb is Verb.RESTART:
        found.append("the preflight may add to it: a rebalance for topics that change")
    return found


def as_json(plan: Plan, unasked: Sequence[str] = ()) -> dict[str, Any]:
    """Give the plan as JSON data."""
    return {
        "stage": plan.stage,
        "verb": str(plan.verb),
        "max_failures": plan.max_failures,
        "pool": plan.pool,
        "superfluous": [_action(action) for action in plan.superfluous],
        "unasked": list(unasked),
        "batches": [[_action(action) for action in batch] for batch in plan.batches],
        **({"outdated": True, "kept": [_kept(one) for one in plan.kept]} if plan.outdated else {}),
    }


def _kept(one: Kept) -> dict[str, Any]:
    processes = [{"name": each.name, "pid": each.pid, "release": each.release} for each in one.processes]
    return {"host": one.host, "processes": processes}


def _action(action: HostAction) -> dict[str, Any]:
    return {
        "host": action.target.name,
        "address": action.target.address,
        "port": action.target.port,
        "agent": list(action.agent),
        "at_once": action.request.at_once,
        "deadline_seconds": action.deadline_seconds,
        "processes": [
            {"name": spec.name, "command": list(spec.command), "directory": spec.directory} | _why(action, spec.name)
            for spec in action.request.processes
        ],
    }


def _why(action: HostAction, process: str) -> dict[str, str]:
    return {"why": action.why[process]} if process in action.why else {}


def _place(action: HostAction) -> str:
    target = action.target
    user = f"{target.user}@" if target.user else ""
    return f"{user}{target.address}{f':{target.port}' if target.port else ''}"


def _order(action: HostAction) -> str:
    return (", " if action.request.at_once else ", then ").join(spec.name for spec in action.request.processes)
