"""`fab karafka.setup`: this tool onto the hosts."""

from __future__ import annotations

import sys

from invoke.context import Context

from ops.core.guarded import print_json
from ops.core.plain import cell
from ops.shell.door import command

Text = str | None


@command(
    help={
        "hosts": "comma-separated hosts; all of the stage without it",
        "roles": "comma-separated roles",
        "wheelhouse": "a folder with the wheels of psutil and kafka-python, for hosts without a registry",
        "dry-run": "print the plan, do nothing",
        "json": "print JSON",
    }
)
def setup(
    context: Context,
    hosts: Text = None,
    roles: Text = None,
    wheelhouse: Text = None,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Make folders and the tool's own venv on each host: this version."""
    from pathlib import Path

    from ops.core.accounts import home_path
    from ops.fleet import setup as recipe
    from ops.fleet.tasks.project import load_places, load_settings, make_transport
    from ops.render.progress import Progress

    settings = load_settings(context)
    chosen = [place.host for place in load_places(context, settings, hosts, roles, None)]
    plan = recipe.make_setup(settings, chosen, Path(home_path(wheelhouse)) if wheelhouse else None)
    if dry_run:
        for one in plan.hosts:
            order = one.order
            made = f"karafka-ops {order['version']} in its shared/, by {order['python'] or 'its newest Python'}"
            print(f"{one.target.name}: folders below {order['deploy_to']}, {made}")
        return 0
    outcomes, code = recipe.carry_out(plan, make_transport(context, settings), Progress(sys.stderr).say)
    if json:
        found = [
            {"host": each.host, "ok": each.error is None, "message": str(each.error) if each.error else each.message}
            for each in outcomes
        ]
        print_json({"stage": settings.stage, "hosts": found})
    else:
        for each in outcomes:
            print(f"{each.host}: {'failed' if each.error else cell(each.message)}")
    return code
