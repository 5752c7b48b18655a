"""`inv jobs.show` and `inv dead`: what is in the queue, what failed for good, and sending it again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.jobs.queue import QueueLook
from tests.labs.jobs_lab import PROGRAMS, JobsLab

pytestmark = pytest.mark.kafka


def inv(lab: JobsLab, *arguments: str) -> str:
    """Run inv as a user does, with the lab's app."""
    environ = {
        "KARAFKA_BROKERS": lab.bootstrap,
        "KARAFKA_APP": "jobs_app:app",
        "TEST_APP": lab.name,
        "TEST_NOTES": str(lab.notes_file),
        "PYTHONPATH": str(PROGRAMS),
    }
    (lab.directory / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("inv"), *arguments],
        cwd=lab.directory,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_queue_tells_what_is_not_finished_and_dead_letters_can_be_sent_again(lab: JobsLab) -> None:
    # Given jobs on four keys, the first of which waits, one that fails for good, and one that is no job
    gate = lab.directory / "gate"
    lab.enqueue(1, 1, wait=str(gate))
    lab.sent = 0
    lab.enqueue(20, 4)
    lab.send(b"no json", topic="jobs")
    lab.worker("server", command=("server",))
    lab.worker("0")
    lab.send({"key": "bad", "n": 99, "fail": True})
    assert len(lab.letters(2)) == 2
    assert Deadline(30).poll(lambda: len(lab.notes("end")) == 15), lab.report()
    # When the queue is shown, then the waiting key's jobs are there, and nothing that finished behind them
    look = QueueLook(Brokers.at(lab.bootstrap), f"{lab.name}.jobs", f"{lab.name}.jobs")
    try:
        assert Deadline(10).poll(lambda: look.look().as_json()["jobs"] == 6, every=0.2)
    finally:
        look.close()
    said = inv(lab, "jobs.show", "--json", "jobs.show", "dead", "--json")
    shown, end = json.JSONDecoder().raw_decode(said)
    text, _, listed = said[end:].lstrip().partition("\n[")
    assert shown["jobs"] == 6
    assert [(one["worker"], one["jobs"]) for one in shown["workers"]] == [("WorkWorker", 6)]
    assert shown["oldest_seconds"] > 0
    assert text.startswith(f"{lab.name}.jobs: 6 jobs unfinished, the oldest for")
    # And the dead letters tell why they are
    letters = json.loads(f"[{listed}")
    assert sorted((one["attempts"], one["reason"].split(":")[0]) for one in letters) == [
        ("1", "ParseError"),
        ("4", "RuntimeError"),
    ]
    assert any("asked to fail" in one["traceback"] for one in letters)
    # When they are sent again
    assert inv(lab, "dead", "--replay") == "sent 2 messages again\n"
    # Then they are tried again, and shown once more as new ones alone
    assert Deadline(30).poll(lambda: len(lab.notes("gave up: RuntimeError")) == 2), lab.report()
    assert len(lab.letters(4)) == 4
    assert inv(lab, "dead").startswith("2 dead letters")
    gate.touch()
