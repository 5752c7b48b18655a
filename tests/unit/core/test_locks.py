"""Byte locks: the kernel says who owns a slot."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.locks import Byte, SlotLock, holder_of

HOLD = (
    "import sys, time; from pathlib import Path; from ops.core.locks import Byte, SlotLock;"
    "lock = SlotLock(Path(sys.argv[1])); taken = lock.try_take(Byte[sys.argv[2]]); print(taken, flush=True);"
    "{then}; time.sleep(300)"
)


class Other:
    """Another process that takes a byte."""

    def __init__(self, path: Path, byte: Byte, then: str = "pass") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD.format(then=then), str(path), byte.name], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.taken = self.process.stdout.readline().strip() == "True"

    def __enter__(self) -> Other:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_byte_has_one_owner_and_the_kernel_names_it(tmp_path: Path) -> None:
    # Given another process that has the owner byte
    path = tmp_path / "slots" / "karafka-0.lock"
    with SlotLock(path) as lock, Other(path, Byte.OWNER) as other:
        assert other.taken
        # Then it cannot be taken, and its holder is known, here and to one who only asks
        assert not lock.try_take(Byte.OWNER)
        assert not lock.take(Byte.OWNER, Deadline(0.05))
        assert lock.holder(Byte.OWNER) == other.process.pid
        # And the other bytes are free
        assert lock.holder(Byte.OPERATION) is None
        assert lock.try_take(Byte.OPERATION)
        # When it is killed, then the byte is free
        other.process.send_signal(signal.SIGKILL)
        assert lock.take(Byte.OWNER, Deadline(10))


def test_asking_for_a_holder_makes_no_file(tmp_path: Path) -> None:
    # Given no lock file
    path = tmp_path / "slots" / "karafka-0.lock"
    # Then nobody holds it, and it is still not there
    assert holder_of(path, Byte.OWNER) is None
    assert not path.parent.exists()


def test_one_who_may_only_read_can_ask(tmp_path: Path) -> None:
    # Given a lock file that another process has, and that is read-only
    path = tmp_path / "lock"
    with Other(path, Byte.OWNER) as other:
        path.chmod(0o444)
        # Then its holder is known
        assert holder_of(path, Byte.OWNER) == other.process.pid


def test_the_lock_outlives_exec_and_not_its_process_however_many_children_live(tmp_path: Path) -> None:
    # Given a process that took the byte, forked a child and became another program
    path = tmp_path / "lock"
    then = (
        "import os; lock.keep_over_exec(); child = os.fork();"
        "os.execvp('sleep', ['sleep', '300']) if child else (os.setpgid(0, 0), time.sleep(2), os._exit(0))"
    )
    with SlotLock(path) as lock, Other(path, Byte.OWNER, then) as other:
        comm = Path(f"/proc/{other.process.pid}/comm")
        assert Deadline(10).poll(lambda: comm.read_text() == "sleep\n")
        # Then it still has it
        assert lock.holder(Byte.OWNER) == other.process.pid
        # And when it is killed, its child does not keep it
        other.process.kill()
        assert lock.take(Byte.OWNER, Deadline(1.5))


def test_an_inherited_descriptor_is_adopted_with_its_lock(tmp_path: Path) -> None:
    # Given a shim that takes the byte and becomes a program that adopts the descriptor
    path = tmp_path / "lock"
    program = (
        "import os, sys, time; from pathlib import Path; from ops.core.locks import Byte, SlotLock;"
        "lock = SlotLock.adopt(Path(sys.argv[1]), int(sys.argv[2]));"
        "print(os.get_inheritable(int(sys.argv[2])), flush=True); input(); lock.release(Byte.OWNER);"
        "print('released', flush=True); input()"
    )
    script = (
        "import os, sys; from pathlib import Path; from ops.core.locks import Byte, SlotLock;"
        "lock = SlotLock(Path(sys.argv[1])); assert lock.try_take(Byte.OWNER);"
        f"os.execv(sys.executable, [sys.executable, '-c', {program!r}, sys.argv[1], str(lock.keep_over_exec())])"
    )
    with (
        SlotLock(path) as lock,
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        # Then its children will not inherit it, and it has the byte until it lets go
        assert process.stdout.readline() == "False\n"
        assert lock.holder(Byte.OWNER) == process.pid
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "released\n"
        assert lock.holder(Byte.OWNER) is None
        process.communicate("\n")


def test_a_lock_is_closed_on_exec_and_dropped_with_its_descriptor(tmp_path: Path) -> None:
    # Given a lock
    path = tmp_path / "lock"
    with SlotLock(path) as lock:
        assert lock.try_take(Byte.OWNER)
        descriptor = lock.keep_over_exec()
        assert os.get_inheritable(descriptor)
    # When it was closed, then anybody may take it
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.fcntl(descriptor, fcntl.F_GETFD)
    with Other(path, Byte.OWNER) as other:
        assert other.taken
