"""Which hosts of a plan answer, before the first process is touched."""

from __future__ import annotations

from collections.abc import Callable

from ops.core.errors import UnreachableError
from ops.core.protocol import Verb
from ops.fleet.plan import Plan
from ops.fleet.report import Report


def answering(plan: Plan, report: Report, say: Callable[[str], None], *, leave_out: bool) -> Plan:
    """Give a plan without the hosts that do not answer, whose processes nobody knows anything of.

    Parameters
    ----------
    report : of a status of all hosts.
    say : is told which hosts are left out, and why.
    leave_out : whether they may be; else one of them ends it all.

    Raises
    ------
    UnreachableError : a host does not answer and may not be left out, or none answers.
    """
    chosen = dict.fromkeys(action.target.name for action in plan.actions)
    silent = {one.host: one.trouble for one in report.outcomes if one.host in chosen and one.response is None}
    if not silent:
        return plan
    rest = [name for name in chosen if name not in silent]
    reasons = "\n".join(silent.values())
    if not leave_out or not rest:
        count = f"{len(silent)} of {len(chosen)} hosts do not answer" if rest else "no host answers"
        raise UnreachableError(f"{count}, so that no process was touched\n{reasons}", hint=_hint(plan, rest))
    say(f"left out, as they do not answer: {', '.join(silent)}\n{reasons}")
    return plan.without(frozenset(silent))


def _hint(plan: Plan, rest: list[str]) -> str:
    if not rest:
        return "is the network up, is a VPN missing?"
    if plan.verb is Verb.RESTART:
        outdated = " --outdated" if plan.outdated else ""
        return f"to go on without: fab karafka.restart{outdated} --reachable-only"
    return f"to go on without: --hosts {','.join(rest)}"
