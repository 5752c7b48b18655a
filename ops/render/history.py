"""The list of past rollouts, the latest first."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any, TextIO

from ops.core.history import HistoryAnswer
from ops.render.evidence import aligned, seconds_of
from ops.render.streams import is_terminal

_HEADINGS = ("ROLLOUT", "WHEN", "OUTCOME", "SLOTS", "WARM", "STALL", "USUAL", "REBAL", "TOOK", "BY")
_LEFT = frozenset({"ROLLOUT", "WHEN", "OUTCOME", "BY"})
_DISPENSABLE = ("BY", "WHEN", "USUAL", "WARM")  # what a narrow terminal does without, in this order


def print_history(answer: HistoryAnswer, stream: TextIO) -> None:
    """Print the list, nothing cut off; a narrow terminal does without some columns."""
    if not answer.names:
        stream.write("no rollout yet\n")
        return
    rows = [_cells(name, summary) for name, summary in zip(answer.names, answer.summaries, strict=True)]
    lines = aligned(_HEADINGS, rows, _LEFT)
    width = shutil.get_terminal_size().columns if is_terminal(stream) else None
    for count in range(1, len(_DISPENSABLE) + 1):
        if width is None or max(map(len, lines)) <= width:
            break
        kept = [index for index, name in enumerate(_HEADINGS) if name not in _DISPENSABLE[:count]]
        some = [[row[index] for index in kept] for row in rows]
        lines = aligned([_HEADINGS[index] for index in kept], some, _LEFT)
    stream.write("".join(f"{line}\n" for line in lines))


def _cells(name: str, summary: Mapping[str, Any]) -> tuple[str, ...]:
    if not summary:
        return (name, "", "cannot be read", *[""] * (len(_HEADINGS) - 3))
    rebalances = summary["rebalances"]
    return (
        name,
        time.strftime("%m-%d %H:%M", time.localtime(float(summary["started_at"]))),
        str(summary["outcome"]),
        f"{summary['slots_done']}/{summary['slots']}",
        str(summary["warm"]),
        seconds_of(summary["longest_stall_seconds"]),
        seconds_of(summary["undisturbed_seconds"]),
        "?" if rebalances is None else str(rebalances),
        seconds_of(summary["seconds"]),
        str(summary["holder"]),
    )
