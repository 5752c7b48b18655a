"""The shim's side of a handover, and what status says while one is under way or broken off."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.locks import Byte, SlotLock, holder_of
from ops.core.protocol import ProcessSpec, Verb
from ops.core.states import State
from ops.node.managers.pidfile import PidfileManager
from ops.node.record import Intent, Phase, SlotRecord
from tests.labs.node_host import NodeHost

SAY = "import os, json, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(30)"


def shim(spec: ProcessSpec, seconds: float, script: str = SAY) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*(sys.executable, "-I", "-m", "ops.node.shim"), spec.files.lock, spec.files.pidfile, "7",
         *("--standby", str(seconds)), "--", sys.executable, "-c", script],
        env={"KARAFKA_STATUS_FILE": spec.files.status},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def test_a_second_replacement_is_refused(host: NodeHost) -> None:
    # Given a replacement that is under way
    spec = host.spec()
    first = shim(spec, 30)
    host.agents.append(first)
    assert Deadline(20).poll(lambda: holder_of(Path(spec.files.lock), Byte.REPLACING)) == first.pid

    # When another one is started
    second = shim(spec, 30)
    _, said = second.communicate(timeout=20)

    # Then it ends with 75 and names the first, and neither wrote a pidfile
    assert second.returncode == 75
    assert f"a replacement is already under way: process {first.pid}" in said
    assert not Path(spec.files.pidfile).exists()


def test_a_command_that_never_gets_warm_is_ended_by_the_shims_alarm(host: NodeHost) -> None:
    # Given a command that knows nothing of handovers
    spec = host.spec()
    process = shim(spec, 0.5)

    # When half a second has passed, then it is ended, whatever became of its agent
    said, _ = process.communicate(timeout=20)
    assert process.returncode == -14
    assert '"KARAFKA_STANDBY": "1"' in said
    assert '"KARAFKA_RELEASE": "7"' in said


def test_status_tells_a_handover_that_was_broken_off_and_a_start_heals_it(host: NodeHost) -> None:
    # Given a handover that nobody of it survived, not even the agent
    spec = host.spec()
    assert host.one(Verb.START, spec).ok
    manager = PidfileManager()
    owner = Identity.of(manager.status(spec).pid)
    path = Path(spec.files.record)
    replace(SlotRecord.read(path), intent=Intent.UP, phase=Phase.REPLACING, phase_at=time.time()).write(path)
    assert manager.status(spec).state is State.RUNNING
    for process in host.processes():
        process.kill()
    assert Deadline(20).poll(lambda: not owner.alive())

    # Then status says so, and a start heals it
    report = manager.status(spec)
    assert report.state is State.DEAD
    assert "handover was broken off" in report.message
    assert host.one(Verb.START, spec).ok
    assert manager.status(spec).state is State.RUNNING


def test_a_command_that_cannot_hand_over_is_stopped_and_started(host: NodeHost) -> None:
    # Given a process that says nothing of handovers
    spec = host.spec("--state", "running")
    before = host.one(Verb.START, spec)

    # When it is restarted
    report = host.one(Verb.RESTART, spec)

    # Then it was stopped and started, and the report says how long each took
    assert report.ok
    assert report.pid != before.pid
    assert report.timings.keys() == {"stop", "start"}


def test_a_replacement_whose_owner_is_gone_is_a_standby_without_its_partner(host: NodeHost) -> None:
    # Given a replacement that does not take the free slot, and a pidfile of nobody
    spec = host.spec()
    process = shim(spec, 30)
    host.agents.append(process)
    assert Deadline(20).poll(lambda: holder_of(Path(spec.files.lock), Byte.REPLACING))

    # Then status shows it as a standby
    report = PidfileManager().status(spec)
    assert (report.state, report.pid) == (State.STANDBY, process.pid)

    # When the slot is stopped, then it is ended too
    stopped = host.one(Verb.STOP, spec)
    assert stopped.ok
    assert process.wait(20) == -15
    assert pidfile.read(Path(spec.files.pidfile)) is None
    with SlotLock(Path(spec.files.lock)) as lock:
        assert lock.holder(Byte.REPLACING) is None
