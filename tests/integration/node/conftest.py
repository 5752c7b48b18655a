"""A host of a test's own, and a process that is nobody's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.identity import Identity
from tests.labs.node_host import NodeHost, end


@pytest.fixture
def host(tmp_path: Path) -> Iterator[NodeHost]:
    made = NodeHost(tmp_path)
    yield made
    end(made.root, made.agents)


@pytest.fixture
def innocent() -> Iterator[Identity]:
    """A living process that is nobody's."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], env={"PATH": os.defpath})
    identity = Identity.of(process.pid)
    assert identity is not None
    yield identity
    process.kill()
    process.wait()
