"""How every run goes: what tests inherit, which of them stay together, and whom all parts end with.

Read by the oldest interpreter of a host too, with nothing installed but what the agent needs and pytest.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import settings

from ops.core.identity import Identity
from tests.labs import OPERATOR
from tests.labs.parts import part_of, require, summary
from tests.labs.signals import hear_again

pytest_plugins = ["tests.again", *(["tests.labs.fixtures"] if OPERATOR and sys.platform == "linux" else [])]

settings.register_profile("busy machine", deadline=None)  # pytest-timeout sees to what never ends
settings.load_profile("busy machine")


def pytest_configure(config: pytest.Config) -> None:
    """Let all tests begin alike, however the run was started."""
    if sys.platform != "linux":
        raise pytest.UsageError(
            "Linux only: processes are known by /proc, pidfd and byte locks that no other system has"
        )
    hear_again()
    # kafka-python 3.0.12 reads its own schemas the way Python 3.11 and 3.12 warn of
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    for name in (
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "GITLAB_CI",
    ):  # tests are no news of the pipeline they run in
        os.environ.pop(name, None)


COSTLY = ("sandbox", "relays", "spare_kafka", "systemd_host", "yard")
"""Fixtures that cost a broker or a fleet in every worker that wants one: their tests stay together."""


@pytest.hookimpl(tryfirst=True)  # before any fixture is made
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what needs a part that is not here."""
    for mark in item.iter_markers("needs"):
        require(*mark.args)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Say in the last lines what was left out, instead of a line for each test."""
    skipped = terminalreporter.stats.pop("skipped", [])
    left_out = [report for report in skipped if part_of(report) is not None]
    others = [report for report in skipped if part_of(report) is None]
    terminalreporter.stats.update({name: some for name, some in (("skipped", others), ("left out", left_out)) if some})
    yield
    for line in summary(part for part in map(part_of, left_out) if part is not None):
        terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep those that share a costly fixture in one worker: some are one for all, the others are a module's own."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        for name in COSTLY:
            if name in names:
                group = name if name in ("sandbox", "spare_kafka", "systemd_host") else f"{name} of {item.path.stem}"
                item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where pytest-xdist did not take the groups up: fleets side by side starve each other."""
    if "PYTEST_XDIST_WORKER" not in os.environ or not session.config.getoption("loadgroup", False):
        return
    apart = [one.nodeid for one in session.items if one.get_closest_marker("xdist_group") and "@" not in one.nodeid]
    if apart:
        raise pytest.UsageError(f"pytest-xdist keeps tests that share a fleet apart, {apart[0]} for one: see pyproject")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove the folder of a run in which all went well: a newcomer's two commands leave nothing behind."""
    config = session.config
    if exitstatus == pytest.ExitCode.OK and not hasattr(config, "workerinput") and not config.getoption("basetemp"):
        folder: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        shutil.rmtree(folder, ignore_errors=True)  # other runs of this user tidy up, too
        with suppress(OSError):  # other runs have left something in the folder of all runs
            (folder.parent / "pytest-current").unlink(missing_ok=True)
            folder.parent.rmdir()


@pytest.fixture(scope="session")
def run_owner() -> Identity:
    """The process that the whole run ends with: pytest itself, also where this is a worker of pytest-xdist."""
    identity = Identity.of(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())
    assert identity is not None
    return identity


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run, the same for all its workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
