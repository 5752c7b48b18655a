"""How tasks on processes show what they do, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.core.guarded import print_json

__all__ = ["Narrator", "Silent", "outcomes", "print_json", "print_plan", "rows", "settled_rows", "survey_rows"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.core.protocol import Event, ProcessReport
    from ops.core.sight import Row
    from ops.core.survey import Survey
    from ops.fleet.plan import Plan
    from ops.fleet.report import Outcome, Report
    from ops.render.processes import HostRows
    from ops.render.progress import Progress


class Narrator:
    """Shows progress on standard error while a plan is carried out.

    Parameters
    ----------
    talkative : whether what comes of each process is said, too.
    in_full : no table follows that tells the rest.
    """

    def __init__(self, progress: Progress, *, talkative: bool, in_full: bool) -> None:
        self._progress = progress
        self._talkative = talkative
        self._in_full = in_full
        self._told: set[tuple[str, str]] = set()

    def event(self, host: str, event: Event) -> None:
        """Say what happens to a process."""
        self._told.add((host, event.process))
        self._progress.event(host, event)

    def finished(self, outcome: Outcome) -> None:
        """Say what came of a host."""
        if self._talkative and outcome.response is not None:
            for report in outcome.response.processes:
                if not report.ok or report.kept or (outcome.host, report.name) not in self._told:
                    self._progress.report(outcome.host, report)
        if outcome.trouble and (self._talkative or self._in_full):
            self._progress.trouble(outcome.trouble if self._in_full else outcome.trouble.splitlines()[0])

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say what is waited for after Ctrl-C."""
        self._progress.say(f"interrupted: finishing what has begun on {', '.join(hosts)}; Ctrl-C again leaves it")


class Silent:
    """Watches without a word."""

    def event(self, host: str, event: Event) -> None:
        """Say nothing."""

    def finished(self, outcome: Outcome) -> None:
        """Say nothing."""

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say nothing."""


def rows(report: Report) -> tuple[HostRows, ...]:
    """Give a report's table."""
    from ops.render.processes import HostRows

    return tuple(HostRows(one.host, (*one.told, *one.others), one.trouble) for one in report.outcomes)


def survey_rows(report: Report, survey: Survey | None) -> tuple[HostRows, ...]:
    """Give a report's table with what the cluster says of each process, and below it what is remarkable."""
    from ops.core.records import replace
    from ops.render.processes import HostRows

    if survey is None:
        return rows(report)
    by_host: dict[str, dict[str, Row]] = {}
    for row in survey.observation.rows:
        by_host.setdefault(row.host, {})[row.report.name] = row
    joined = tuple(replace(one, rows=by_host.get(one.host, {})) for one in rows(report))
    return (*joined, HostRows.below(survey.texts))


def settled_rows(report: Report, seen: Report | None = None) -> tuple[HostRows, ...]:
    """Return the table of a report whose progress has been told already: without remarks on what was done well.

    What was not attempted is said once for all hosts it holds for.

    Parameters
    ----------
    seen : a status of the same processes, taken after it: the table is of that.
    """
    from ops.core.records import replace
    from ops.core.states import State
    from ops.fleet.report import Kind
    from ops.render.processes import HostRows

    now = {
        (one.host, each.name): each
        for one in (seen.outcomes if seen is not None else ())
        for each in one.processes
        if each.state is not State.UNKNOWN
    }

    def remark(one: Outcome, each: ProcessReport) -> str:
        told = one.kind is Kind.NOT_ATTEMPTED or (each.ok and not each.kept)
        return "" if told else each.message

    found, left = list[HostRows](), dict[str, list[str]]()
    for one in report.outcomes:
        skipped = one.kind is Kind.NOT_ATTEMPTED
        processes = tuple(replace(now.get((one.host, each.name), each), message=remark(one, each)) for each in one.told)
        found.append(HostRows(one.host, (*processes, *one.others), "" if skipped else one.trouble))
        if skipped and one.error is not None:
            left.setdefault(one.error.what, []).append(one.host)
    texts = [f"{', '.join(dict.fromkeys(hosts))}: {what}" for what, hosts in left.items()]
    return (*found, HostRows.below(texts)) if texts else tuple(found)


def outcomes(report: Report) -> list[tuple[str, str, str]]:
    """Give of each process its host, its name and what came of it."""
    return [(one.host, each.name, each.message or str(each.state)) for one in report.outcomes for each in one.told]


def print_plan(plan: Plan, *, as_json: bool, unasked: Sequence[str] = ()) -> None:
    """Print what a command would do.

    Parameters
    ----------
    unasked : hosts that were asked what else they run, and did not answer.
    """
    import sys

    from ops.fleet import preview
    from ops.render.streams import fitting

    if as_json:
        print_json(preview.as_json(plan, unasked))
    else:
        print("\n".join(fitting(preview.lines(plan, unasked), sys.stdout)))
