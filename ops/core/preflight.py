"""Before a rollout touches anything: whether the groups are fit for it."""

from __future__ import annotations

from collections.abc import Sequence

from ops.core.amounts import in_seconds
from ops.core.cluster import STABLE, WITHOUT_MEMBERS, Group
from ops.core.gate import Terms
from ops.core.membership import duplicates, muster, own_topics, strangers, unowned
from ops.core.standing import Process
from ops.core.verdict import Cause, Judgement, Reason, judged

PASSING = frozenset({Cause.REBALANCING, Cause.UNOWNED})  # what may be over in a moment


def preflight(terms: Terms, groups: Sequence[Group], elapsed_seconds: float = 0.0) -> Judgement:
    """Judge the groups as they are; a group without members is fit: nobody is disturbed by a start.

    A process that is down or missing is no reason either: a restart is how it is healed. The release's own topics are
    not looked at, for the members of today cannot own those that it adds; nor are those that change, where a rollout
    that was broken off has left them without owner.
    """
    reasons: list[Reason] = _sessions(terms.processes)
    for group in groups:
        processes = terms.of(group.name)
        topics = own_topics(group, processes)
        everybody = (*processes, *terms.left(group.name, processes))
        found = muster(group, everybody, topics or terms.topics.get(group.name, ()))
        reasons += duplicates(group, processes, found) + strangers(group, found, terms.absent, terms.unseen)
        if group.state == STABLE:
            reasons += unowned(group, terms.settled(group.name, topics))
        elif group.state not in WITHOUT_MEMBERS:
            text = f"group {group.name} is rebalancing: {group.state}"
            reasons.append(Reason(Cause.REBALANCING, group.name, text))
    return judged(reasons, frozenset(terms.accepted), elapsed_seconds, waiting=False)


def _sessions(processes: Sequence[Process]) -> list[Reason]:
    """Say whose place the brokers would give away while it restarts; a dynamic member has none to lose."""
    return [
        Reason(
            Cause.SESSION,
            "",
            f"{one.name}: the brokers keep its place for {in_seconds(one.session_timeout_seconds)}, "
            f"a restart may take {in_seconds(one.pause_seconds)}; raise KARAFKA_SESSION_TIMEOUT_SECONDS",
            one.name,
        )
        for one in processes
        if one.instance_id is not None
        and one.session_timeout_seconds is not None
        and one.session_timeout_seconds <= one.pause_seconds
    ]
