from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench.measure import Contender, run, take_turns
from ops.core.deadline import Deadline
from ops.core.errors import OpsError

BURN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"


def test_cpu_of_the_children_counts_and_idle_time_does_not(tmp_path: Path) -> None:
    # Given a command that sleeps, and whose child burns 0.2 s of CPU
    script = f"import subprocess, sys, time; time.sleep(0.3); subprocess.run([sys.executable, '-c', {BURN!r}])"
    # When it is measured
    cost = run([sys.executable, "-c", script], directory=tmp_path, timeout_seconds=60)
    # Then the child's CPU is in, the sleep is in the wall time alone
    assert cost.code == 0
    assert cost.cpu_seconds >= 0.2
    assert cost.wall_seconds >= 0.3 + 0.2


def test_memory_is_what_the_process_touched(tmp_path: Path) -> None:
    # Given a command that fills 150 MB
    # When it is measured
    cost = run([sys.executable, "-c", "b'x' * 150_000_000"], directory=tmp_path, timeout_seconds=60)
    # Then its memory is that and an interpreter
    assert 150e6 < cost.rss_bytes < 300e6


def test_a_command_that_is_late_is_killed_with_its_children(tmp_path: Path) -> None:
    # Given a command that starts a child, tells its pid and then both sleep for long
    child = tmp_path / "child"
    script = f"sleep 100 & echo $! > {child}.new && mv {child}.new {child}; wait"
    # When it has half a second
    with pytest.raises(OpsError, match="had not ended"):
        run(["/bin/sh", "-c", script], directory=tmp_path, timeout_seconds=0.5)
    # Then the child has ended too
    pid = int(child.read_text())
    assert Deadline(10).poll(lambda: not _runs(pid))


def test_input_and_environment_reach_the_command(tmp_path: Path) -> None:
    # Given a command that prints its input and a variable
    # When it is run with both
    cost = run(
        ["/bin/sh", "-c", 'cat; echo "$COLOUR"; pwd'],
        directory=tmp_path,
        timeout_seconds=60,
        data=b"hello\n",
        env={"COLOUR": "red"},
    )
    # Then it had them, in its folder
    assert cost.output.splitlines() == ["hello", "red", str(tmp_path)]


@pytest.mark.parametrize(
    ("script", "why"),
    [("echo running; exit 0", "'running' 1 times, not 2"), ("echo running running; exit 4", "exited with 4")],
)
def test_a_contender_that_did_not_do_its_work_is_no_measurement(tmp_path: Path, script: str, why: str) -> None:
    # Given a contender that should find two processes running
    contender = Contender("it", ("/bin/sh", "-c", script), tmp_path, expect="running", times=2)
    # When it finds fewer, or fails
    # Then there is no figure, but an error
    with pytest.raises(OpsError, match=why):
        contender.run()


def test_contenders_take_turns(tmp_path: Path) -> None:
    # Given two contenders that leave a trace
    trace = tmp_path / "trace"
    both = [Contender(name, ("/bin/sh", "-c", f"echo {name} >> {trace}"), tmp_path) for name in ("a", "b")]
    # When they run three rounds
    told: list[str] = []
    costs = take_turns(both, 3, told.append)
    # Then neither has all its runs in a row, and each run is kept and told
    assert trace.read_text().split() == ["a", "b"] * 3
    assert {name: len(some) for name, some in costs.items()} == {"a": 3, "b": 3}
    assert len(told) == 6


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed orphan may wait as a zombie for whoever reaps here.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
