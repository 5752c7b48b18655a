"""Workers restarted under load by the same agent as all other processes: warm, without overlap, nothing twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from ops.core.protocol import ProcessReport, ProcessSpec, Request, Response, Verb, decode_line
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from tests.labs.jobs_lab import PROGRAMS, JobsLab

pytestmark = pytest.mark.kafka


def spec_of(lab: JobsLab, index: int) -> ProcessSpec:
    slot = Slot("worker", index)
    (lab.directory / "shared").mkdir(exist_ok=True)
    return ProcessSpec(
        name=str(slot),
        command=(sys.executable, "-m", "ops", "worker", "--concurrency", "8"),
        directory=str(lab.directory),
        files=SlotFiles.below(str(lab.directory / "shared"), "tmp/pids/karafka.pid", slot),
        env={
            "KARAFKA_BROKERS": lab.bootstrap,
            "KARAFKA_APP": "jobs_app:app",
            "KARAFKA_INSTANCE_ID": slot.instance_id(lab.name, "h1"),
            "PYTHONPATH": str(PROGRAMS),
            "TEST_APP": lab.name,
            "TEST_NOTES": str(lab.notes_file),
        },
        start_timeout_seconds=40.0,
        stop_timeout_seconds=20.0,
    )


def ask(verb: Verb, specs: tuple[ProcessSpec, ...], *, at_once: bool = True) -> tuple[ProcessReport, ...]:
    done = subprocess.run(
        [sys.executable, "-m", "ops.node"],
        input=Request(verb, "h1", specs, at_once=at_once).encode() + "\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    response = decode_line(done.stdout.splitlines()[-1])
    assert isinstance(response, Response)
    assert not response.error
    return response.processes


def test_workers_hand_over_under_load_without_overlap_and_nothing_runs_twice(lab: JobsLab) -> None:
    # Given two workers under load
    specs = tuple(spec_of(lab, index) for index in range(2))
    try:
        assert all(report.ok for report in ask(Verb.START, specs))
        stop = threading.Event()

        def load() -> None:
            while not stop.wait(0.1):
                lab.enqueue(20, 20, seconds=0.06)

        sender = threading.Thread(target=load)
        sender.start()
        time.sleep(1.0)
        before = [report.pid for report in ask(Verb.STATUS, specs)]
        # When they are restarted one after the other
        reports = ask(Verb.RESTART, specs, at_once=False)
        stop.set()
        sender.join(10)
        # Then both were taken over warm
        assert all(report.ok and report.pid not in before for report in reports), reports
        assert all("takeover" in (report.timings or {}) for report in reports), reports
        # And every job ran exactly once, none beside another of its key, each key in order
        lab.until_done()
        assert set(lab.assert_no_overlap({}).values()) == {1}
        assert {report.state for report in ask(Verb.STATUS, specs)} == {State.RUNNING}
    finally:
        ask(Verb.STOP, specs)
