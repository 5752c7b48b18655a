"""What a process uses, read from its /proc entry."""

from __future__ import annotations

import os
import time

import psutil
import pytest

from ops.node import procfs


def test_it_says_what_psutil_says() -> None:
    # Given this process, which has burnt some CPU
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    # When both are asked
    usage, peer = procfs.usage(os.getpid()), psutil.Process()
    assert usage is not None
    # Then they agree
    assert usage.threads == peer.num_threads()
    assert usage.rss_bytes == pytest.approx(peer.memory_info().rss, rel=0.2)
    age = time.time() - peer.create_time()
    assert usage.uptime_seconds == pytest.approx(age, abs=1.5)
    times = peer.cpu_times()
    assert usage.cpu_percent * usage.uptime_seconds / 100 == pytest.approx(times.user + times.system, rel=0.2, abs=0.1)
    assert not usage.frozen


def test_no_process_uses_nothing() -> None:
    # Given a number that is no process's
    assert procfs.usage(2**22 + 1) is None
