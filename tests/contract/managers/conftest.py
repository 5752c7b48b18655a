"""The managers that keep the contract; those of an operating system where an operator's interpreter runs this."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.labs import OPERATOR
from tests.labs.manager_worlds import FakeWorld, PidfileWorld, World

KEPT = ["supervisor", pytest.param("systemd", marks=pytest.mark.xdist_group("systemd_host"))]


@pytest.fixture(params=["pidfile", "fake", *(KEPT if OPERATOR else ())])
def world(request: pytest.FixtureRequest) -> World:
    """A manager and what surrounds it."""
    made: World = request.getfixturevalue(f"{request.param}_world")
    return made


@pytest.fixture
def pidfile_world(tmp_path: Path) -> Iterator[World]:
    yield PidfileWorld(tmp_path)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(tmp_path) in process.environ().get("KARAFKA_STATUS_FILE", ""):
                process.kill()


@pytest.fixture
def fake_world(tmp_path: Path) -> World:
    return FakeWorld(tmp_path)


@pytest.fixture
def supervisor_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    from tests.labs.kept_worlds import SupervisorWorld

    made = SupervisorWorld(tmp_path, request.getfixturevalue("supervisord"))
    yield made
    made.close()


@pytest.fixture
def systemd_world(request: pytest.FixtureRequest) -> Iterator[World]:
    from tests.labs.kept_worlds import SystemdWorld

    made = SystemdWorld(request.getfixturevalue("systemd_host"))
    yield made
    made.close()
