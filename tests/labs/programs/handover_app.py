"""The app under test: it sends on what it gets, and does what files in its folder ask for."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ops.consumer import App, Controller, Responder, topic

NAME = os.environ["TEST_APP"]
FOLDER = Path(os.environ["TEST_FOLDER"])
WORK_SECONDS = float(os.environ.get("TEST_WORK_SECONDS", "0"))

if (FOLDER / "raise").exists():
    raise RuntimeError("this release is broken")
if (FOLDER / "hang").exists():
    (FOLDER / "hanging").touch()
    while (FOLDER / "hang").exists() or (FOLDER / "hanging").exists():
        time.sleep(0.005)


class RelayController(Controller):
    """Sends the number on; waits as long as there is a file named `hold`."""

    def perform(self) -> None:
        if (FOLDER / "hold").exists():
            (FOLDER / "holding").touch()
            while (FOLDER / "hold").exists():
                time.sleep(0.005)
        time.sleep(WORK_SECONDS)
        message = self.params
        self.respond_with(
            {"stream": message["stream"], "sequence": message["sequence"], "pid": os.getpid(), "at": time.time()}
        )


class RelayResponder(Responder):
    topics = (topic(f"{NAME}-out"),)

    def respond(self, data: dict[str, object]) -> None:
        self.respond_to(f"{NAME}-out", data)


READ = Path("topics")  # of the release: its folder is where it is started

app = App(NAME)
for name in READ.read_text().split() if READ.exists() else ("in",):
    app.topic(f"{NAME}-{name}", controller=RelayController, start_from_beginning=True)
