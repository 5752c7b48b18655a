"""Programs whose output is told while they run."""

from __future__ import annotations

import sys

import pytest

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.node.streaming import NotRunError, Output, TimedOutError, run


def test_a_program_that_writes_without_end_is_ended_at_its_deadline() -> None:
    # Given one that never stops to write
    waited = Deadline(20)
    # When its time is over
    with pytest.raises(TimedOutError, match="had not ended after"):
        run(["sh", "-c", "while :; do echo y; done"], 0.2)
    # Then that is its end
    assert not waited.expired


def test_a_long_line_comes_whole_in_parts_where_all_of_it_is_wanted() -> None:
    # Given a line that is longer than what is read at once, and another
    script = "print('x' * 200_000, end='z\\n', flush=True); print('last')"
    told: list[str] = []
    # When all of it is wanted
    ended = run([sys.executable, "-c", script], 20, told.append, whole=True)
    # Then nothing is lost, and what is kept is short
    assert "".join(told).replace("\n", "") == "x" * 200_000 + "zlast"
    assert max(len(one) for text in told for one in text.split("\n")) <= 1 << 17
    assert all(len(line) < 3000 for line in ended.lines)
    # And else it is cut
    told.clear()
    run([sys.executable, "-c", script], 20, told.append)
    assert ["more characters" in line for line in told] == [True, False]


def test_what_cannot_be_run_is_told_apart_from_what_fails() -> None:
    for argv in (["/no/such"], ["sh", "nul\0byte"]):
        with pytest.raises(NotRunError, match="cannot be run"):
            run(argv, 1)


def all_of(output: Output) -> bytes:
    buffer, found = memoryview(bytearray(1 << 16)), b""
    while size := output.readinto(buffer):
        found += bytes(buffer[:size])
    return found


def test_what_a_program_writes_is_read_while_it_complains_more_than_a_pipe_holds() -> None:
    """Given a program that fills standard error between two parts of its output, when that is read, then all comes."""
    script = "import sys; print('a' * 9); print('e\\n' * 200000, file=sys.stderr); print('b' * 300000)"
    came: list[bytes] = []
    told: list[str] = []
    ended = run([sys.executable, "-c", script], 30, told.append, read=lambda output: came.append(all_of(output)))
    assert (ended.code, came, set(told)) == (0, [b"a" * 9 + b"\n" + b"b" * 300000 + b"\n"], {"e", ""})


def test_a_program_that_fails_in_the_middle_is_named_and_not_what_its_output_lacks() -> None:
    """Given one whose output breaks off, when its reader refuses that, then how the program ended is the answer."""

    def refuse(output: Output) -> None:
        all_of(output)
        raise OpsError("it is cut short")

    failing = "import sys; print('half'); sys.exit('the disk is broken')"
    ended = run([sys.executable, "-c", failing], 30, read=refuse)
    assert (ended.code, ended.lines) == (1, ("the disk is broken",))
    with pytest.raises(OpsError, match="cut short"):
        run([sys.executable, "-c", "print('half')"], 30, read=refuse)


@pytest.mark.parametrize("written", ["", "x"])
def test_a_reader_waits_for_no_program_beyond_its_deadline(written: str) -> None:
    """Given a program that keeps its output open, when its time is over, then it is ended and named."""
    began, came = Deadline(10), list[bytes]()
    script = f"import sys, time; sys.stdout.write({written!r}); sys.stdout.flush(); time.sleep(60)"
    with pytest.raises(TimedOutError, match=r"had not ended after 0\.5 s"):
        run([sys.executable, "-c", script], 0.5, read=lambda output: came.append(all_of(output)))
    assert not began.expired


def test_what_a_reader_refuses_ends_a_program_that_would_go_on() -> None:
    """Given one that writes without end, when its reader refuses it, then it has ended, and nobody waited for it."""
    began = Deadline(10)

    def refuse(output: Output) -> None:
        output.readinto(memoryview(bytearray(9)))
        raise OpsError("a member is refused")

    with pytest.raises(OpsError, match="a member is refused"):
        run([sys.executable, "-c", "while True: print('y')"], 60, read=refuse)
    assert not began.expired


def test_what_nobody_reads_of_an_output_is_passed_over_and_a_heir_keeps_nobody_waiting() -> None:
    """Given a program that leaves a child with its output, when it has ended, then the reading ends, too."""
    began = Deadline(10)
    script = "import subprocess; print('z' * 300000, flush=True); subprocess.Popen(['sleep', '20'])"
    ended = run([sys.executable, "-c", script], 30, read=lambda output: None)  # noqa: ARG005
    assert (ended.code, began.expired) == (0, False)


def test_a_lease_is_asked_for_by_time_and_not_for_each_part_of_an_output() -> None:
    """Given 8 MB of output, when it is read, then the permit is asked for seldom; one that is gone ends it."""
    asked: list[bool] = []
    writing = "import sys; sys.stdout.write('x' * 8_000_000)"
    came: list[bytes] = []
    run(
        [sys.executable, "-c", writing], 30,
        read=lambda output: came.append(all_of(output)), permit=lambda: asked.append(True),
    )  # fmt: skip
    assert (len(came[0]), 1 <= len(asked) < 40) == (8_000_000, True)

    def gone() -> None:
        raise OpsError("the lease has gone")

    with pytest.raises(OpsError, match="the lease has gone"):
        run(
            [sys.executable, "-c", "while True: print('y')"], 60,
            read=lambda output: came.append(all_of(output)), permit=gone,
        )  # fmt: skip


def test_a_reader_ends_with_the_time_of_a_program_that_writes_without_end() -> None:
    """Given a program whose output has no end, when its time is over, then it is ended though there is more to read."""
    began = Deadline(10)

    def pass_over(output: Output) -> None:
        buffer = memoryview(bytearray(1 << 16))
        while output.readinto(buffer):
            pass

    with pytest.raises(TimedOutError, match=r"had not ended after 0\.5 s"):
        run([sys.executable, "-c", "while True: print('y')"], 0.5, read=pass_over)
    assert not began.expired
