"""Who keeps a process, by what the kernel says of it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from ops.core.deadline import Deadline
from ops.core.keeping import Keeping
from ops.node.keeper import keeper_of

KEPT = Keeping("systemd", "shop")


@contextmanager
def wrapped(program: str) -> Iterator[int]:
    """Run a command with an environment of its own below a wrapper that supervisor has started; gives its pid."""
    environment = {"PATH": "/usr/bin:/bin", "SUPERVISOR_PROCESS_NAME": program}
    with subprocess.Popen(["sh", "-c", "env -i sleep 60; true"], env=environment) as wrapper:
        try:
            tree = psutil.Process(wrapper.pid)
            assert Deadline(10).poll(lambda: [one for one in tree.children() if one.name() == "sleep"])
            (child,) = tree.children()
            yield child.pid
            child.kill()
        finally:
            wrapper.kill()


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("karafka-shop@karafka-0", "supervisor"),
        ("karafka-shop@karafka-1", "pidfile"),  # another process's
        ("karafka-shop2@karafka-0", "pidfile"),  # another application's
    ],
)
def test_what_a_wrapper_has_started_is_its_programs(program: str, kind: str) -> None:
    # Given a process below a wrapper, which does not pass supervisor's words on
    with wrapped(program) as pid:
        # Then it is supervisor's where the program is the process's own
        assert keeper_of(KEPT, "karafka-0", pid) == kind


def test_a_process_that_is_gone_is_nobodys() -> None:
    # Given a pid that no process has
    with subprocess.Popen(["true"]) as process:
        pid = process.pid
    # Then nobody keeps it
    assert keeper_of(KEPT, "karafka-0", pid) == "pidfile"
