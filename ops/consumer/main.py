"""One consumer process from the first line of log to its exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ops.core.description import asked
from ops.core.errors import ExitCode, OpsError

if TYPE_CHECKING:
    from ops.consumer.app import App


def run_server(reference: str, groups: Collection[str] = (), made: Callable[[App], App] | None = None) -> int:
    """Load an app and run its groups until told to stop; the reason of a failure is the last line on stderr.

    Asked what the app reads (KARAFKA_DESCRIBE) it prints that and ends, before anything is connected.

    Parameters
    ----------
    reference : `module:attribute` of the app.
    groups : the consumer groups to run; all without any.
    made : makes the app that is run of the one that was loaded.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("kafka").setLevel(logging.WARNING)
    try:
        from ops.consumer.app import load_app

        app = load_app(reference)
        if made is not None:
            app = made(app)
        if asked(os.environ):
            from ops.consumer.overview import description

            print(f"\n{description(app)}", flush=True)  # a line of its own, whatever the app has printed
            return ExitCode.DONE
        from ops.consumer.server import Server

        return int(Server(app, groups).run())
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return int(error.exit_code)
