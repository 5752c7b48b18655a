"""`inv dead`: messages and jobs that failed for good."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.amounts import counted
from ops.core.guarded import print_json
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.consumer.app import App
    from ops.consumer.letters import LetterBox

_ALL = "all"


@command(
    optional=["replay", "discard"],
    help={
        "app": "module:attribute of an app; default: KARAFKA_APP, the setting `app`",
        "json": "print JSON, with content and traceback",
        "replay": "send messages again where they came from: all, or those named (TOPIC:PARTITION@OFFSET,...)",
        "discard": "show letters no more: those named, or `all`",
    },
)
def dead(
    context: Context,
    app: str = "",
    json: bool = False,
    replay: str | bool | None = None,
    discard: str | bool | None = None,
) -> int:
    """Show the app's dead letters, send their messages again, or discard them."""
    from contextlib import ExitStack

    from ops.consumer.app import load_app
    from ops.consumer.letters import LetterBox
    from ops.core.brokers import Brokers
    from ops.core.errors import UsageError
    from ops.render.letters import letter_lines
    from ops.render.streams import fitting
    from ops.tasks.project import app_name, know_brokers

    if replay and discard:
        raise UsageError("one or the other", where="--replay, --discard")
    if discard is True:
        raise UsageError("which ones? name them, or say all", where="--discard")
    know_brokers(context, takes_part=bool(replay or discard))
    chosen = load_app(app or app_name(context))
    brokers = Brokers.from_environment(os.environ)
    topics = dict.fromkeys(route.dead_letter_topic for route in chosen.routes)
    with ExitStack() as opened:
        boxes = []
        for topic in topics:
            boxes.append(LetterBox(brokers, topic))
            opened.callback(boxes[-1].close)
        letters = sorted((letter for box in boxes for letter in box.all()), key=lambda one: one.at)
        if not replay and not discard:
            found = [letter.as_json() for letter in letters]
            if json:
                print_json(found)
            else:
                print("\n".join(fitting(letter_lines(found, time.time()), sys.stdout)))
            return 0
        names = _names(replay or discard or "", {letter.name for letter in letters})
        if replay:
            return _replay(boxes, chosen, names)
        print(f"discarded {counted(sum(box.discard(names) for box in boxes), 'letter')}")
        return 0


def _names(given: str | bool, there: set[str]) -> set[str]:
    """Return the letters that are meant.

    Raises
    ------
    UsageError : one is not there.
    """
    from ops.core.errors import UsageError

    if given in (True, _ALL):
        return there
    names = {name for name in str(given).split(",") if name}
    gone = sorted(names - there)
    if gone:
        raise UsageError(f"no letter is named {gone[0]!r}", hint="inv dead shows the names of those that are there")
    return names


def _replay(boxes: list[LetterBox], app: App, names: set[str]) -> int:
    from ops.consumer.client import producer_options
    from ops.consumer.producer import KafkaOutbox
    from ops.consumer.settings import ConsumerSettings
    from ops.render.letters import kept_lines

    outbox = KafkaOutbox(producer_options(ConsumerSettings.from_environment(os.environ), app.client_id))
    try:
        done = [box.replay(outbox, names) for box in boxes]
    finally:
        outbox.close(timeout_seconds=5.0)
    kept = [one for each in done for one in each.kept]
    print(f"sent {counted(sum(one.sent for one in done), 'message')} again")
    if kept:
        print("\n".join(kept_lines(kept)), file=sys.stderr)
    return 1 if kept else 0
