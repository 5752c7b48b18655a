"""`fab karafka.config`: the settings in force."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from ops.core.guarded import print_json
from ops.shell.door import command


@command(help={"json": "print JSON"})
def config(context: Context, json: bool = False) -> None:
    """Show the stage's settings in force, secrets masked."""
    from invoke import util

    from ops.core.section import as_data
    from ops.fleet.masking import masked
    from ops.fleet.tasks.project import load_settings

    data = {"karafka": masked(as_data(load_settings(context)))}
    if json:
        print_json(data)
    else:
        yaml: Any = vars(util)["yaml"]
        print(yaml.safe_dump(data, sort_keys=False, default_flow_style=False, allow_unicode=True), end="")
