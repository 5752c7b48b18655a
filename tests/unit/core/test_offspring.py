"""A program whose time is over ends with all that it has started, on the operator's machine and on hosts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import start_ticks
from ops.fleet.transport import HungError, Target, local
from ops.fleet.transport.local import LocalTransport
from ops.node import streaming

WAIT = "echo $$ >> pids; while :; do sleep 0.05; done"
CHILDREN = {
    "a child": f"sh -c '{WAIT}' &",
    "a child of a child": f"sh -c \"sh -c '{WAIT}' & wait\" &",
    "one whose parent has ended": f"sh -c \"sh -c '{WAIT}' &\"",
    "one that ignores TERM": f"sh -c 'trap \"\" TERM HUP INT; {WAIT}' &",
    "a session of its own": f"setsid sh -c '{WAIT}' &",
    "a session of its own whose parent has ended": f"sh -c \"setsid sh -c '{WAIT}' &\"",
    "a session and environment of its own": f"setsid env -i PATH=$PATH sh -c '{WAIT}' &",
    "a group of its own": f"set -m; sh -c '{WAIT}' & set +m",
    "one that is frozen": f"sh -c 'echo $$ >> pids; kill -STOP $$; {WAIT}' &",
    "many that start others": "for i in 1 2 3 4 5 6; do sh -c 'echo $$ >> pids; while :; do sleep 0.01; done' & done",
    "one that holds no output": f"sh -c '{WAIT}' > /dev/null 2>&1 &",
}


def on_the_operators_machine(argv: list[str], seconds: float) -> None:
    with pytest.raises(HungError):
        LocalTransport().execute(Target("here", ""), argv, b"", lambda _: None, Deadline(seconds))


def on_a_host(argv: list[str], seconds: float) -> None:
    with pytest.raises(OpsError, match="had not ended after"):
        streaming.run(argv, seconds)


def living(folder: Path) -> list[int]:
    pids = (folder / "pids").read_text().split()
    return [int(one) for one in pids if start_ticks(int(one)) is not None]


@pytest.mark.parametrize(("run", "ignoring"), [(on_the_operators_machine, True), (on_a_host, False)])
def test_all_that_it_has_started_ends_with_it(
    run: Callable[[list[str], float], None], ignoring: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (local, streaming):
        monkeypatch.setattr(module, "_GRACE_SECONDS", 0.5)
    # Given a program with children of all kinds, which itself ends on TERM or not
    script = tmp_path / "program"
    trap = "trap '' TERM" if ignoring else ":"
    script.write_text(f"cd {tmp_path}\n{trap}\n" + "\n".join(CHILDREN.values()) + f"\n{WAIT}\n")
    # And a process that it has started in a slot
    slot = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], env={"KARAFKA_STATUS_FILE": "/nowhere"}
    )
    try:
        # When its time is over
        began = time.monotonic()
        run(["sh", str(script)], 1.0)
        # Then none of them is left, soon
        assert len((tmp_path / "pids").read_text().split()) >= len(CHILDREN) + 5
        assert living(tmp_path) == []
        assert time.monotonic() - began < 15
        assert slot.poll() is None
    finally:
        slot.kill()
        slot.wait()


def test_what_it_has_started_in_a_slot_is_the_slots(tmp_path: Path) -> None:
    # Given a program in the middle of a start: the process in the slot has a session and environment of its own
    program = tmp_path / "program"
    program.write_text(
        "import os, subprocess, sys, time\n"
        "made = subprocess.Popen(['sh', '-c', 'sleep 60 & wait'], start_new_session=True,\n"
        "    env={'KARAFKA_STATUS_FILE': '/nowhere', 'PATH': os.environ['PATH']})\n"
        "open('pids', 'w').write(str(made.pid))\n"
        "time.sleep(60)\n"
    )
    # When its time is over
    with pytest.raises(OpsError, match="had not ended after"):
        streaming.run([sys.executable, str(program)], 1.0, directory=tmp_path)
    # Then the slot's goes on
    (pid,) = living(tmp_path)
    subprocess.run(["kill", "-9", "--", f"-{pid}"], check=True, timeout=10)


def test_what_goes_on_behind_a_program_that_has_ended_is_left_and_not_waited_for(tmp_path: Path) -> None:
    # Given a program that leaves something in the background, which has its output and uses it
    heard: list[bytes] = []
    script = (
        f"cd {tmp_path}; echo begun; sh -c 'echo $$ > pids; while echo on; do sleep 0.01; done' & sleep 0.5; echo last"
    )
    # When it has ended
    end = LocalTransport().execute(Target("here", ""), ("sh", "-c", script), b"", heard.append, Deadline(30))
    # Then it was heard to its last word, and what it has left goes on until nobody takes its output
    assert end.code == 0
    assert b"begun\n" in b"".join(heard)
    assert b"last\n" in b"".join(heard)
    assert Deadline(10).poll(lambda: not living(tmp_path))
