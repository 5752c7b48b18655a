"""How an install and its kin show what differs, and what was done."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ops.core.plain import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ops.core.installation import InstallAnswer
    from ops.core.settings import Settings
    from ops.fleet.report import Outcome, Report
    from ops.fleet.tasks.hosting import HostState


def outcomes(states: Iterable[HostState], report: Report) -> tuple[Outcome, ...]:
    """Give what came of each host: of the install, else of the look before it."""
    done = {one.host: one for one in report.outcomes}
    return tuple(done.get(one.outcome.host, one.outcome) for one in states)


def print_changes(settings: Settings, states: Sequence[HostState], *, in_full: bool, as_json: bool) -> None:
    """Print what an install would change; in full as unified diffs."""
    from ops.fleet.masking import masked_line
    from ops.fleet.tasks.showing import print_json
    from ops.render.diff import print_diff

    _learn_secrets(states)
    if as_json:
        hosts = []
        for one in states:
            found = [
                {"path": each.path, "change": each.summary, "diff": each.diff(masked_line)} for each in one.changes
            ]
            hosts.append({**_data(one.outcome), "changes": found})
        print_json({"stage": settings.stage, "manager": settings.manager, "hosts": hosts})
        return
    for state in states:
        if state.facts is None:
            print(f"{state.outcome.host}: failed")
            continue
        count = len(state.changes)
        print(f"{state.outcome.host}: {f'{count} of {len(state.files)} files' if count else 'already installed'}")
        for change in state.changes:
            print(f"  {change.summary}")
            if in_full:
                print_diff(change.diff(masked_line), sys.stdout)


def _learn_secrets(states: Iterable[HostState]) -> None:
    """Learn what env files have, there and here: a line of a diff does not tell whose value it goes on."""
    from ops.core import envfile
    from ops.core.masking import SECRETS

    for change in (change for state in states for change in state.changes if change.path.endswith(".env")):
        for file in (change.before, change.after):
            with suppress(envfile.EnvFileError):
                SECRETS.learn(envfile.parse(file.text) if file is not None else None)


def print_answers(settings: Settings, found: Sequence[Outcome], word: str, *, as_json: bool) -> None:
    """Print what was done on each host.

    Parameters
    ----------
    word : for all of it: `installed`, `enabled`, ...
    """
    from ops.fleet.tasks.showing import print_json

    if as_json:
        hosts = [_data(one) for one in found]
        print_json({"stage": settings.stage, "manager": settings.manager, "hosts": hosts})
        return
    for outcome in found:
        answer = outcome.response.installed if outcome.response else None
        done = answer is not None and answer.done
        print(f"{outcome.host}: {'failed' if outcome.trouble else word if done else f'already {word}'}")
        if answer is not None:
            _print_answer(outcome.host, answer)


def _print_answer(host: str, answer: InstallAnswer) -> None:
    for line in (*answer.done, *answer.notes):
        print(f"  {cell(line)}")
    if answer.restart:
        print(f"  {', '.join(answer.restart)} still run by what was there before")
        print(f"    fab karafka.restart --hosts {host} --processes {','.join(answer.restart)}")


def _data(outcome: Outcome) -> dict[str, Any]:
    from ops.core.records import asdict

    data: dict[str, Any] = {"host": outcome.host, "outcome": str(outcome.kind)}
    if outcome.trouble:
        data["error"] = outcome.trouble
    if outcome.response is not None and outcome.response.installed is not None:
        data |= asdict(outcome.response.installed)
    return data
