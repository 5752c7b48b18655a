"""The queue as lines and as a plot."""

from __future__ import annotations

import io
from typing import Any

import pytest

from ops.render import jobs
from ops.render.jobs import age, plot, queue_lines, watch_queue


def test_a_queue_is_shown_by_worker_with_ages() -> None:
    queue = {
        "topic": "sources.jobs",
        "jobs": 12_003,
        "read": 10_000,
        "oldest_seconds": 3725.0,
        "workers": [
            {"worker": "RefreshWorker", "jobs": 9990, "oldest_seconds": 3725.0},
            {"worker": "MailWorker", "jobs": 10, "oldest_seconds": 61.4},
        ],
    }
    assert queue_lines(queue, 16) == [
        "sources.jobs: 12003 jobs unfinished, 16 of them running on this host, the oldest for 1 h 2 min",
        "by worker, of the first 10000 that were read:",
        "WORKER        JOBS    OLDEST",
        "RefreshWorker 9990 1 h 2 min",
        "MailWorker      10 1 min 1 s",
    ]


def test_an_empty_queue_is_one_line() -> None:
    queue = {"topic": "a.jobs", "jobs": 0, "read": 0, "oldest_seconds": 0.0, "workers": []}
    assert queue_lines(queue, None) == ["a.jobs: 0 jobs unfinished"]


def test_depths_are_plotted_with_the_highest_one_full() -> None:
    assert plot([0, 1, 50, 100]) == "▁▂▅█ 100 (at most 100)"
    assert plot([0, 0]) == "▁▁ 0 (at most 0)"


def test_an_age_is_never_negative() -> None:
    assert age(-1) == "0 s"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_watched_queue_is_looked_at_again_and_again_until_ctrl_c(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a queue that grows
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(jobs, "EVERY_SECONDS", 0.01)
    depths = iter((1, 4))

    def look() -> tuple[dict[str, Any], int | None]:
        depth = next(depths, None)
        if depth is None:
            raise KeyboardInterrupt
        return {"topic": "a.jobs", "jobs": depth, "read": depth, "oldest_seconds": 0.0, "workers": []}, 0

    # When it is watched
    shown = stream()
    watch_queue(look, shown)
    # Then each look is shown, with the depths so far, and Ctrl-C is no error
    text = shown.getvalue()
    assert "a.jobs: 1 job unfinished" in text
    assert "a.jobs: 4 jobs unfinished" in text
    assert plot([1, 4]) in text
