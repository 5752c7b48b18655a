"""The list of past rollouts, the latest first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TextIO

from ops.core.history import HistoryAnswer
from ops.render.columns import Columns
from ops.render.evidence import seconds_of
from ops.render.streams import width_of_terminal

_COLUMNS = Columns(
    ("ROLLOUT", "WHEN", "OUTCOME", "SLOTS", "WARM", "STALL", "USUAL", "REBAL", "TOOK", "BY"),
    right=frozenset({"SLOTS", "WARM", "STALL", "USUAL", "REBAL", "TOOK"}),
    shrinks=(
        *(("BY", 16), ("WHEN", 0), ("BY", 0), ("USUAL", 0), ("WARM", 0), ("REBAL", 0), ("TOOK", 0), ("STALL", 0)),
        ("SLOTS", 0),
    ),
    gap="  ",
)


def print_history(answer: HistoryAnswer, stream: TextIO) -> None:
    """Print the list; on a narrow terminal without some columns, but a rollout's name, which commands take, whole."""
    if not answer.names:
        stream.write("no rollout yet\n")
        return
    rows = [_cells(name, summary) for name, summary in zip(answer.names, answer.summaries, strict=True)]
    stream.write("".join(f"{line}\n" for line in _COLUMNS.table(rows, width_of_terminal(stream))))


def _cells(name: str, summary: Mapping[str, Any]) -> tuple[str, ...]:
    if not summary:
        return (name, "", "cannot be read", *[""] * (len(_COLUMNS.headings) - 3))
    rebalances = summary["rebalances"]
    return (
        name,
        time.strftime("%m-%d %H:%M", time.localtime(float(summary["started_at"]))),
        str(summary["outcome"]),
        _slots(summary),
        str(summary["warm"]),
        seconds_of(summary["longest_stall_seconds"]),
        seconds_of(summary["undisturbed_seconds"]),
        "?" if rebalances is None else str(rebalances),
        seconds_of(summary["seconds"]),
        str(summary["holder"]),
    )


def _slots(summary: Mapping[str, Any]) -> str:
    """Return how many of the slots are done whose turn was to come; and how many were left alone."""
    kept = summary.get("slots_kept", 0)  # older evidence has none
    return f"{summary['slots_done']}/{summary['slots']}" + (f" +{kept}" if kept else "")
