"""A host of a test's own, and a process that is nobody's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ops.core.identity import Identity
from tests.labs.node_host import NodeHost


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NodeHost]:
    made = NodeHost(tmp_path)
    yield made
    for agent in made.agents:
        if agent.poll() is None:
            agent.kill()
        agent.wait()
        for pipe in (agent.stdin, agent.stdout, agent.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
    for process in made.processes():
        with suppress(psutil.Error):
            process.kill()


@pytest.fixture
def innocent() -> Iterator[Identity]:
    """A living process that is nobody's."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env={"PATH": os.defpath})
    identity = Identity.of(process.pid)
    assert identity is not None
    yield identity
    process.kill()
    process.wait()
