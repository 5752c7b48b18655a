"""What failed beside other work, once more by itself: `python -m tests.again [--cache .pytest_cache]`.

Two cores now and then starve what a test waits for. So a few tests may be tried again; more of them are no accident,
and neither is a run that broke off, whose other tests nobody has seen. As a plugin of pytest it notes how a run ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

MOST = 3
SECONDS = 900.0
_ENDED = "again/exit_code"
_GROUPS = "again/groups"


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget how the run before ended: this one may be killed."""
    _note(session.config, _ENDED, None)
    _note(session.config, _GROUPS, session.config.getoption("dist", "no") == "loadgroup")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Note how this run ended."""
    _note(session.config, _ENDED, int(exitstatus))


def _note(config: pytest.Config, name: str, value: Any) -> None:
    cache = getattr(config, "cache", None)
    if cache is not None and not hasattr(config, "workerinput"):  # workers of pytest-xdist see a part alone
        cache.set(name, value)


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what failed again; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".pytest_cache"), help="the cache_dir of the run before")
    cache = parser.parse_args(arguments).cache
    failed = sorted(_read(cache, "cache/lastfailed", {}))
    reason = refusal(_read(cache, _ENDED, None), failed)
    if reason:
        print(f"error: {reason}", *failed, sep="\n  ", file=sys.stderr)
        return 1
    argv = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", "--last-failed"]
    if _read(cache, _GROUPS, False):  # with a worker: pytest-xdist's groups are part of the ids
        argv += ["-n", "1", "--dist", "loadgroup"]
    files = sorted({name.partition("::")[0] for name in failed})  # no other is for an old interpreter to read
    argv += ["--last-failed-no-failures", "none", *files]
    code = subprocess.run(argv, timeout=SECONDS, check=False).returncode
    if code == 0:
        print("Passed only alone:", *failed, sep="\n  ")
    return code


def _read(cache: Path, name: str, missing: Any) -> Any:
    try:
        return json.loads((cache / "v" / name).read_text())
    except (OSError, ValueError):
        return missing


if __name__ == "__main__":
    sys.exit(main())
