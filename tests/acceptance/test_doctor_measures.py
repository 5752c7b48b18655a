"""What the doctor says of a host is measured there: clock, disk, versions, limits, logs."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import time
from collections.abc import Iterator
from unittest import mock

import pytest

import ops
from ops.core import checkup
from ops.core.identity import Identity
from tests.labs.in_process import fab
from tests.labs.shop import Shop
from tests.labs.ssh_fleet import started


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Shop]:
    """A host that is installed and runs, with which nothing is wrong."""
    directory = tmp_path_factory.mktemp("healthy")
    with started(directory / "fleet", 1, run_owner) as fleet:
        made = Shop(directory / "shop", fleet)
        fab(made.folder, "karafka.install")
        fab(made.folder, "karafka.start")
        yield made


def findings(shop: Shop, *wanted: str) -> dict[str, str]:
    """Return what the doctor finds, by kind; others than those wanted are none of this test."""
    found = json.loads(fab(shop.folder, "karafka.doctor", "--json", code=1).stdout)["findings"]
    texts = {one["kind"]: one["text"] for one in found}
    assert set(wanted) <= set(texts), found
    return texts


def test_a_clock_that_is_not_the_operators_is_found_by_how_much(healthy: Shop) -> None:
    # Given an operator whose clock is ahead, and one whose clock is behind
    real = time.time
    for shift, word in ((120.0, "behind"), (-120.0, "ahead of")):
        with mock.patch("time.time", lambda shift=shift: real() + shift):
            found = findings(healthy, "clock")
        # Then the host's is off by as much, beyond what the question took
        match = re.fullmatch(rf"its clock is (\d+) s {word} yours", found["clock"])
        assert match is not None, found
        assert 60 <= int(match[1]) <= 121


def test_the_room_that_is_left_is_that_of_the_disk_of_shared(healthy: Shop) -> None:
    # Given any room as too little
    shared = healthy.fleet.hosts[0].files.deploy_to / "shared"
    with mock.patch.object(checkup, "LOW_PERCENT", 100), mock.patch.object(checkup, "LOW_BYTES", 1 << 62):
        found = findings(healthy, "disk")
    # Then what is said is what the system says, or its inodes
    match = re.search(r"(\d+) MiB of (\d+) GiB left|(\d+) of (\d+) left", found["disk"])
    assert match is not None, found
    usage, table = shutil.disk_usage(shared), os.statvfs(shared)
    if match[1]:
        assert int(match[1]) == pytest.approx(usage.free >> 20, rel=0.2)
        assert int(match[2]) == usage.total >> 30
    else:
        assert int(match[4]) == table.f_files


def test_another_version_of_the_tool_is_found_on_the_host(healthy: Shop) -> None:
    with mock.patch.object(ops, "__version__", "99.0"):
        found = findings(healthy, "tool")
    assert found["tool"] == f"its tool is version {ops.__version__}, yours 99.0"


def test_a_process_that_may_open_few_files_is_found_by_its_own_limit(healthy: Shop) -> None:
    # Given a process that may have 200 files open
    pidfile = healthy.fleet.hosts[0].files.deploy_to / "shared/tmp/pids/karafka-0.pid"
    pid = int(pidfile.read_text().split()[0])
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        found = findings(healthy, "files")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    # Then that is said, with how many it has
    match = re.fullmatch(r"karafka-0 has (\d+) files open and may have 200", found["files"])
    assert match is not None, found
    assert int(match[1]) == len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def test_a_log_that_nobody_rotates_is_found_by_its_size(healthy: Shop) -> None:
    # Given a log of more than a GiB, with nothing on the disk
    log = healthy.log(0)
    size = log.stat().st_size
    os.truncate(log, (1 << 30) + (100 << 20))
    try:
        found = findings(healthy, "log")
    finally:
        os.truncate(log, size)
    assert found["log"] == "the log of karafka-0 has 1124 MiB: is logrotate run at all?"
