"""A host whose processes a real supervisord keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.supervised import Kept, MakeKept


@pytest.fixture
def kept_of(tmp_path: Path, supervisord: LocalSupervisord) -> Iterator[MakeKept]:
    """Make an application: `kept_of("name")`, on the supervisord that all tests of the module share."""
    made: list[Kept] = []

    def make(name: str, server: LocalSupervisord = supervisord) -> Kept:
        made.append(Kept(tmp_path, server, f"{name}-{tmp_path.name}"))
        return made[-1]

    yield make
    for kept in made:
        (kept.server.conf_d / f"karafka-{kept.name}.conf").unlink(missing_ok=True)
    supervisord.update()  # ends what is not in any file; a supervisord of a test's own ends with all it has


@pytest.fixture
def kept(kept_of: MakeKept) -> Kept:
    """One application."""
    return kept_of("app")
