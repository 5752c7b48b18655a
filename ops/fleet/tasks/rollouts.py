"""`fab karafka.history|unlock`: past rollouts, and the lease of the one that is under way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.plain import cell
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.core.settings import Settings
    from ops.fleet.lease_host import Seen
    from ops.fleet.transport import Transport


@command(
    help={
        "rollout": "the name of one, to see its evidence in full; `last` for the latest",
        "picture": "write the timeline of that one, else of the latest, an SVG, into this file",
        "json": "print JSON",
    }
)
def history(context: Context, rollout: str | None = None, picture: str | None = None, json: bool = False) -> int:
    """Show the last rollouts of the stage, or the evidence of one."""
    from pathlib import Path

    from ops.core.accounts import home_path
    from ops.core.errors import OpsError
    from ops.core.evidence import Evidence
    from ops.core.history import HistoryAction, HistoryCall
    from ops.fleet.lease_host import lease_host
    from ops.fleet.tasks.project import load_settings, make_transport
    from ops.fleet.tasks.showing import print_json
    from ops.render.evidence import print_summary
    from ops.render.history import print_history
    from ops.render.timeline import timeline

    settings = load_settings(context)
    keeper = lease_host(settings, make_transport(context, settings))
    if rollout is None and picture is None:
        listed = keeper.history(HistoryCall(HistoryAction.LIST))
        if json:
            print_json({"stage": settings.stage, "rollouts": list(listed.summaries)})
        else:
            print_history(listed, sys.stdout)
        return 0
    found = keeper.history(HistoryCall(HistoryAction.FETCH, "" if rollout in (None, "last") else rollout))
    if found.evidence is None:
        raise OpsError(found.message, where=keeper.target.name, hint="fab karafka.history lists them")
    if picture is not None:
        path = Path(home_path(picture))
        drawn = timeline(Evidence.from_json(found.evidence))  # here: the one that the host sends may be anything
        try:
            path.write_text(drawn, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise OpsError(error.strerror or str(error), where=str(path)) from None
        print(f"picture: {path}", file=sys.stderr)
    print_json(found.evidence) if json else print_summary(Evidence.from_json(found.evidence), sys.stdout)
    return 0


@command(
    help={
        "reason": "why it is broken; whoever has it is told",
        "yes": "do not ask; needed where there is no terminal",
        "json": "print JSON",
    }
)
def unlock(context: Context, reason: str = "", yes: bool = False, json: bool = False) -> int:
    """Take the stage's lease from whoever has it, and lift its number where a host has seen a higher one."""
    from ops.core.errors import UsageError
    from ops.core.pipeline import may_ask
    from ops.core.records import asdict
    from ops.fleet.lease_host import held_text, lease_host
    from ops.fleet.tasks.project import load_settings, make_transport
    from ops.fleet.tasks.showing import print_json

    settings = load_settings(context)
    transport = make_transport(context, settings)
    keeper = lease_host(settings, transport)
    lease = keeper.show().lease
    broken = lifted = False
    if not lease.held:
        seen = _told_seen(settings, transport)
        lifted = seen.number > lease.number
        if lifted:
            number = lease.number
            lease = keeper.break_open(reason or "its number was too low", seen.number).lease
            what = f"{settings.stage}: {seen.host} has seen number {seen.number}, the lease was at {number}"
            print(f"{cell(what)}; the next one is above both", file=sys.stderr)
    else:
        print(f"{settings.stage}: {cell(held_text(lease))}", file=sys.stderr)
        if not yes and not may_ask():
            raise UsageError(
                "there is no terminal to ask on", where="karafka.unlock", hint="look first, then add --yes"
            )
        if yes or input("Break it? What they are at ends at its next step. [y/N] ").strip().lower() in ("y", "yes"):
            lease = keeper.break_open(reason, _told_seen(settings, transport).number).lease
            broken = True
    if json:
        print_json({"stage": settings.stage, "broken": broken, "lifted": lifted, "lease": asdict(lease)})
    elif broken or lifted:
        print("broken" if broken else "lifted")
    else:
        print("left as it is" if lease.held else f"{settings.stage}: nobody has the lease")
    return 0


def _told_seen(settings: Settings, transport: Transport) -> Seen:
    """Give the highest number that hosts have seen, and say which ones could not be asked."""
    from ops.fleet.lease_host import highest_seen

    seen = highest_seen(settings, transport)
    if seen.unasked:
        what = f"{settings.stage}: not asked which number they have seen: {', '.join(seen.unasked)}"
        print(f"{what}; if they refuse, unlock once more", file=sys.stderr)
    return seen
