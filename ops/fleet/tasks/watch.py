"""`fab karafka.status --watch`: a table that renews itself until Ctrl-C."""

from __future__ import annotations

import sys

from ops.core.settings import Settings
from ops.fleet.plan import Plan
from ops.fleet.survey import FleetLook
from ops.fleet.tasks.showing import Silent, survey_rows
from ops.fleet.transport import Transport
from ops.render.live import show_live
from ops.render.processes import HostRows


def watch(settings: Settings, plan: Plan, transport: Transport) -> None:
    """Show the table of a status plan, again and again; what seems wrong twice running is called so."""
    fleet = FleetLook(settings, plan, transport, Silent())

    def look() -> tuple[HostRows, ...]:
        survey = fleet.surveyor.again()
        assert fleet.report is not None  # the surveyor has looked
        return survey_rows(fleet.report, survey)

    show_live(look, sys.stdout, settings.stage)
