"""What failed beside other workers, once more by itself: `python -m tests.again`.

Workers on two cores now and then starve what a test waits for. So a few tests may be tried again; more of them are no
accident, and neither is a run that broke off, whose other tests nobody has seen. As a plugin of pytest it notes how a
run ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MOST = 3
SECONDS = 900.0
_NOTE = "again/exit_code"
_CACHE = Path(".pytest_cache/v")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget how the run before ended: this one may be killed."""
    _note(session.config, None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note how this run ended."""
    _note(session.config, int(exitstatus))


def _note(config: pytest.Config, code: int | None) -> None:
    cache = getattr(config, "cache", None)
    if cache is not None and not hasattr(config, "workerinput"):  # workers of pytest-xdist see a part alone
        cache.set(_NOTE, code)


def refusal(code: int | None, failed: list[str]) -> str:
    """Say why no second try is due; empty where one is.

    Parameters
    ----------
    code : how pytest ended the run before, None where it did not come to its end.
    failed : the ids of what failed in it.
    """
    if code != pytest.ExitCode.TESTS_FAILED or not failed:
        return f"the run before ended with {'nothing' if code is None else code}: that is no failure of some tests"
    if len(failed) > MOST:
        return f"{len(failed)} tests failed, at most {MOST} are tried again"
    return ""


def main() -> int:
    """Run what failed again; returns the exit code."""
    failed = sorted(_read("cache/lastfailed", {}))
    reason = refusal(_read(_NOTE, None), failed)
    if reason:
        print(f"error: {reason}", *failed, sep="\n  ", file=sys.stderr)
        return 1
    # with a worker: pytest-xdist's groups are part of the ids
    argv = [sys.executable, "-m", "pytest", "-n", "1", "--dist", "loadgroup", "--last-failed"]
    code = subprocess.run([*argv, "--last-failed-no-failures", "none"], timeout=SECONDS, check=False).returncode
    if code == 0:
        print("Passed only alone:", *failed, sep="\n  ")
    return code


def _read(name: str, missing: Any) -> Any:
    try:
        return json.loads((_CACHE / name).read_text())
    except (OSError, ValueError):
        return missing


if __name__ == "__main__":
    sys.exit(main())
