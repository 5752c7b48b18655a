"""Gates and preflights on the cluster: look, judge, look again until it passes or the time is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ops.core.brokers import Brokers
from ops.core.cluster import Group
from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.core.gate import Gate, Terms
from ops.core.knock import RefusedError
from ops.core.preflight import PASSING, preflight
from ops.core.verdict import BY_RECORD, Cause, Judgement, Reason, Verdict
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe

POLL_SECONDS = 0.25
_GRACE_SECONDS = 5.0  # of the first question: an unreachable cluster has to be told from a short deadline
_TOLD_SECONDS = 1.0
_RECORD_SECONDS = 2.0  # how long a difference has to last before newer status records are asked for

Tell = Callable[[Judgement], None]


def watch_gate(
    brokers: Brokers, terms: Terms, deadline_seconds: float, timeout_seconds: float, tell: Tell
) -> tuple[Judgement, tuple[Group, ...]]:
    """Look until the gate passes or refuses; one look every 0.25 s, by one client that stays open.

    A cluster that is away for a while is waited for.

    Parameters
    ----------
    deadline_seconds : after which what is not passed is refused; unknown, if the cluster was away at the end.
    tell : is told each judgement whose verdict or reasons are new, and every second what is still waited for; not the
        last one.

    Returns
    -------
    The verdict, and the groups as last seen. `not yet` means that nothing but the processes' own records speaks
    against it: ask again with newer ones.
    """
    gate = Gate(terms)
    return _watch(
        brokers, terms, Deadline(deadline_seconds), timeout_seconds, tell, lambda groups, at: gate.see(groups, at)
    )


def watch_preflight(
    brokers: Brokers, terms: Terms, deadline_seconds: float, timeout_seconds: float, tell: Tell
) -> tuple[Judgement, tuple[Group, ...]]:
    """Look until the preflight passes; what does not pass by itself is refused at once."""
    began = time.monotonic()

    def judge(groups: tuple[Group, ...], at_seconds: float) -> Judgement:
        found = preflight(terms, groups, round(at_seconds - began, 3))
        waiting = found.verdict is Verdict.REFUSED and found.causes <= PASSING
        return replace(found, verdict=Verdict.WAITING) if waiting else found

    return _watch(brokers, terms, Deadline(deadline_seconds), timeout_seconds, tell, judge)


def _watch(
    brokers: Brokers,
    terms: Terms,
    deadline: Deadline,
    timeout_seconds: float,
    tell: Tell,
    judge: Callable[[tuple[Group, ...], float], Judgement],
) -> tuple[Judgement, tuple[Group, ...]]:
    began = time.monotonic()
    groups: tuple[Group, ...] = ()
    last: Judgement | None = None
    told_at = 0.0
    records_since: float | None = None
    until = Deadline(max(deadline.seconds, min(_GRACE_SECONDS, timeout_seconds)))
    with Cluster(brokers, timeout_seconds, until=until) as cluster:
        while True:
            try:
                groups = observe(cluster, terms.groups, terms.topics)
                now = judge(groups, time.monotonic())
            except RefusedError:
                raise  # nothing to be waited for; another host may know better
            except UnreachableError as error:
                now = _unknown(error, time.monotonic() - began)
            if now.verdict in (Verdict.PASSED, Verdict.REFUSED):
                return now, groups
            if deadline.expired and (now.reasons or until.expired):
                unknown = now.verdict is Verdict.UNKNOWN
                return now if unknown else replace(now, verdict=Verdict.REFUSED), groups
            new = last is None or (now.verdict, now.reasons) != (last.verdict, last.reasons)
            if new or time.monotonic() - told_at >= _TOLD_SECONDS:
                tell(now)
                told_at = time.monotonic()
            last = now
            if now.reasons and now.causes <= BY_RECORD:
                records_since = time.monotonic() if records_since is None else records_since
                if time.monotonic() - records_since >= _RECORD_SECONDS:
                    return now, groups
            else:
                records_since = None
            time.sleep(min(POLL_SECONDS, deadline.remaining))


def _unknown(error: UnreachableError, elapsed_seconds: float) -> Judgement:
    reason = Reason(Cause.UNREACHABLE, "", str(error).replace("\n ", ";"))
    return Judgement(Verdict.UNKNOWN, (reason,), elapsed_seconds=round(elapsed_seconds, 3))
