"""A slot's files carry its name: what lives in files of other names is found, taken over, and never runs twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.locks import Byte, SlotLock, holder_of
from ops.core.protocol import ProcessReport, ProcessSpec, Request, Response, Verb
from ops.core.slot import Roster, Slot, SlotFiles
from ops.core.states import State
from ops.node import shim
from ops.node.agent import carry_out
from ops.node.location import confusion, located
from ops.node.superfluous import slots_beside
from tests.labs.node_host import NodeHost

PID = "tmp/pids/karafka.pid"


def spec_of(
    host: NodeHost, name: str, *, pid: str = PID, files: str = "", told: bool = True, **changes: Any
) -> ProcessSpec:
    """Make a process; `files` names the files as an older version did."""
    slot = Slot.parse(name)
    spec = replace(
        host.spec(), name=name, files=SlotFiles.below(str(host.shared), pid, slot),
        env={"KARAFKA_PROCESS": name} if told else {}, readiness="alive", command=("sleep", "300"),
    )  # fmt: skip
    if files:
        spec = replace(spec, files=SlotFiles.below(str(host.shared), pid, Slot.parse(files)))
    return replace(spec, **changes)


def ask(host: NodeHost, verb: Verb, *specs: ProcessSpec, names: Sequence[str]) -> Response:
    roster = Roster(PID, tuple(names))
    return carry_out(Request(verb, "h1", specs, shared=str(host.shared), roster=roster), lambda _: None)


def one(host: NodeHost, verb: Verb, spec: ProcessSpec, *names: str) -> ProcessReport:
    (report,) = ask(host, verb, spec, names=names or (spec.name,)).processes
    return report


def as_before(host: NodeHost, name: str, files: str, *, told: bool = True) -> ProcessReport:
    """Start a process as the version before did: in files of another name, and nothing is written into its lock."""
    spec = spec_of(host, name, files=files, told=told)
    found = host.one(Verb.START, spec)
    assert found.ok
    os.truncate(spec.files.lock, 0)
    return found


def test_a_process_in_files_of_before_is_taken_over_and_never_runs_twice(host: NodeHost) -> None:
    # Given a process of the role small that lives in files of the setting's own name
    old = as_before(host, "small-0", "karafka-0")
    names = ("big-0", "small-0")
    small = spec_of(host, "small-0")
    # When it is looked at and started by a version whose files carry the slot's name
    found = one(host, Verb.STATUS, small, *names)
    started = one(host, Verb.START, small, *names)
    # Then it is that process, its release is known, and nothing was started
    assert (found.state, found.pid, found.release) == (State.RUNNING, old.pid, "20260101000000")
    assert (started.pid, started.message) == (old.pid, "already running")
    assert ask(host, Verb.STATUS, small, names=names).others == ()
    # And a restart moves it into its own files
    moved = one(host, Verb.RESTART, small, *names)
    assert moved.ok
    assert moved.pid not in (None, old.pid)
    assert holder_of(Path(small.files.lock), Byte.OWNER) == moved.pid
    assert holder_of(host.shared / "tmp/slots/karafka-0.lock", Byte.OWNER) is None
    assert sorted(path.name for path in (host.shared / "tmp/pids").iterdir()) == ["small-0.pid"]
    # And a stop ends it
    assert one(host, Verb.STOP, small, *names).state is State.STOPPED


def test_a_stop_ends_what_lives_in_files_of_before(host: NodeHost) -> None:
    # Given a process in files of before
    old = as_before(host, "small-0", "karafka-0")
    identity = Identity.of(old.pid or 0)
    # When its slot is stopped
    stopped = one(host, Verb.STOP, spec_of(host, "small-0"))
    # Then it has ended, and its pidfile is gone
    assert (stopped.ok, stopped.state) == (True, State.STOPPED)
    assert identity is not None
    assert not identity.alive()
    assert list((host.shared / "tmp/pids").iterdir()) == []


def test_a_start_beside_a_process_in_files_of_before_is_kept_out_whoever_starts_it(host: NodeHost) -> None:
    # Given a process in files of before
    old = as_before(host, "small-0", "karafka-0")
    files = spec_of(host, "small-0").files
    # When something else, such as a unit, starts the slot in its own files
    done = subprocess.run(
        [sys.executable, "-m", "ops.node.shim", files.lock, files.pidfile, "r", "--", "sleep", "300"],
        env={**os.environ, "KARAFKA_PROCESS": "small-0"}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    # Then it does not run
    assert (done.returncode, f"process {old.pid} has the slot small-0" in done.stderr) == (shim.ShimExit.HELD, True)


def test_a_slot_whose_lock_another_one_lives_in_is_stopped_and_not_started(host: NodeHost) -> None:
    # Given small-0 in the files that are now those of karafka-0
    old = as_before(host, "small-0", "karafka-0")
    names = ("karafka-0", "small-0")
    own = spec_of(host, "karafka-0")
    # Then karafka-0 is not called running, and is not started
    assert one(host, Verb.STATUS, own, *names).pid is None
    refused = one(host, Verb.START, own, *names)
    assert not refused.ok
    assert f"process {old.pid}" in refused.message
    assert "restart small-0 first" in refused.message
    # And once small-0 has moved it may start
    assert one(host, Verb.RESTART, spec_of(host, "small-0"), *names).ok
    assert one(host, Verb.START, own, *names).ok


def test_what_does_not_tell_its_slot_is_shown_and_keeps_those_out_that_it_may_be(host: NodeHost) -> None:
    # Given a process of before that has overwritten what it was told
    old = as_before(host, "small-0", "karafka-0", told=False)
    names = ("small-0", "big-0", "small-1")
    # When the host is looked at, then it is an orphan by its lock's name
    others = ask(host, Verb.STATUS, spec_of(host, "small-0"), names=names).others
    assert [(one.name, one.pid) for one in others] == [("karafka-0", old.pid)]
    # And neither slot that it may be is started or restarted; another one is
    for name in ("small-0", "big-0"):
        for verb in (Verb.START, Verb.RESTART):
            refused = one(host, verb, spec_of(host, name), *names)
            assert (refused.ok, refused.state) == (False, State.STOPPED)
            assert f"process {old.pid} runs in" in refused.message
    assert one(host, Verb.START, spec_of(host, "small-1"), *names).ok
    # And where it is stopped as what it is called, they start
    assert host.one(Verb.STOP, spec_of(host, "karafka-0")).ok
    assert one(host, Verb.START, spec_of(host, "big-0"), *names).ok


def test_what_runs_under_a_role_that_the_settings_lost_keeps_its_new_name_from_starting(host: NodeHost) -> None:
    # Given a process of a role that was renamed
    old = host.one(Verb.START, spec_of(host, "small-0"))
    # When the new name is started
    refused = one(host, Verb.START, spec_of(host, "tiny-0"), "tiny-0")
    # Then it is not, and the message says who runs and what ends it
    assert (refused.ok, refused.state) == (False, State.STOPPED)
    assert f"process {old.pid}" in refused.message
    assert "no role small" in refused.message
    # And a slot of a role that is still there is no reason
    names = ("small-1", "tiny-0")
    assert one(host, Verb.START, spec_of(host, "tiny-0"), *names).ok


def test_a_changed_pid_setting_loses_nobody(host: NodeHost) -> None:
    # Given a process, and a setting `pid` that is another one now
    before = host.one(Verb.START, spec_of(host, "karafka-0"))
    now = spec_of(host, "karafka-0", pid="run/consumers.pid")
    # Then it is found with its release, and a restart writes the new pidfile and removes the old one
    found = one(host, Verb.STATUS, now)
    assert (found.state, found.pid, found.release) == (State.RUNNING, before.pid, "20260101000000")
    restarted = one(host, Verb.RESTART, now)
    assert Path(now.files.pidfile).read_text().startswith(f"{restarted.pid}\n")
    assert list((host.shared / "tmp/pids").iterdir()) == []


def test_asking_after_a_lock_that_this_process_holds_does_not_drop_it(tmp_path: Path) -> None:
    # Given a lock that this process holds
    path = tmp_path / "karafka-0.lock"
    with SlotLock(path) as lock:
        assert lock.try_take(Byte.OPERATION)
        # When the same process asks who has it, as one does that works on several slots
        assert holder_of(path, Byte.OWNER) is None
        # Then another one still finds it taken
        asked = f"from ops.core.locks import *; print(holder_of(Path({str(path)!r}), Byte.OPERATION))"
        done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.strip() == str(os.getpid())


class Yard:
    """A host whose processes are started as the agent starts them, without waiting for them."""

    def __init__(self) -> None:
        self.shared = Path(tempfile.mkdtemp(prefix="slots-"))
        self.children: dict[int, str] = {}

    def start(self, name: str, files: SlotFiles) -> None:
        """Fork into the shim with these files."""
        Path(files.lock).parent.mkdir(parents=True, exist_ok=True)
        child = os.fork()
        if child == 0:
            try:
                os.environ["KARAFKA_PROCESS"] = name
                os.dup2(os.open(os.devnull, os.O_RDWR), 2)
                shim.main([files.lock, files.pidfile, "r", "--", "sleep", "300"])
            finally:
                os._exit(1)
        self.children[child] = name
        settled = Deadline(10).poll(
            lambda: self._over(child) or Path(f"/proc/{child}/comm").read_text() == "sleep\n"
        )  # fmt: skip
        assert settled

    def _over(self, child: int) -> bool:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def living(self) -> list[tuple[str, int]]:
        """Give the slots that processes say they are in."""
        return [(name, child) for child, name in self.children.items() if not self._over(child)]

    def end(self) -> None:
        for child in self.children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        shutil.rmtree(self.shared)


ROLES = ("karafka", "small", "big", "tiny")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=st.sampled_from(["", "small big", "big small", "karafka small", "karafka"]),
    changes=st.lists(
        st.tuples(
            st.lists(st.sampled_from(ROLES), min_size=1, max_size=3, unique=True),
            st.integers(1, 2),
            st.sampled_from([PID, "tmp/pids/small.pid", "run/big.pid"]),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_whatever_settings_change_one_process_lives_in_a_slot_and_all_are_seen(
    before: str, changes: list[tuple[list[str], int, str]]
) -> None:
    # Given a host, perhaps with processes in files of before: those of the first role named as the setting is
    yard = Yard()
    try:
        for number, role in enumerate(before.split()):
            stem = role if number else "karafka"
            yard.start(f"{role}-0", SlotFiles.below(str(yard.shared), PID, Slot(stem, 0)))
        for roles, processes, pid in changes:
            # When the settings change and every slot that may be is started
            names = [f"{role}-{index}" for role in roles for index in range(processes)]
            specs = {
                name: ProcessSpec(name, (), "", SlotFiles.below(str(yard.shared), pid, Slot.parse(name)), {})
                for name in names
            }
            for name, spec in specs.items():
                lives = holder_of(Path(located(spec).files.lock), Byte.OWNER) is not None
                if not lives and not confusion(spec, names, renamed=True):
                    yard.start(name, spec.files)
            # Then no slot has two processes
            living = yard.living()
            assert max(Counter(name for name, _ in living).values()) == 1
            # And each is found in its slot, or beside the settings
            beside = {str(slot) for slot in slots_beside(yard.shared, Roster(pid, tuple(names)))}
            for name, child in living:
                if name in specs:
                    assert holder_of(Path(located(specs[name]).files.lock), Byte.OWNER) == child
                else:
                    assert name in beside
    finally:
        yard.end()
