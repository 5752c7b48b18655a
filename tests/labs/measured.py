"""Coverage through every process of this interpreter: `python -m tests.labs.measured [arguments of pytest]`.

Commands, agents behind SSH and consumers are started with environments of all kinds, so what begins to measure stands
in the interpreter's own site-packages while the tests run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / ".coverage"
SWITCH = Path(sysconfig.get_path("purelib")) / "karafka_ops_coverage.pth"
LINE = """\
import os; os.environ["COVERAGE_FILE"] = {data!r}; os.environ["COVERAGE_PROCESS_START"] = {settings!r}; \
import coverage; coverage.process_startup()
"""


def main(arguments: list[str]) -> int:
    """Run the tests, then show what they left out; give pytest's exit code."""
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    data = str(DATA / "data")
    SWITCH.write_text(LINE.format(data=data, settings=str(PROJECT / "pyproject.toml")))
    try:
        tests = subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=PROJECT, check=False)
    finally:
        SWITCH.unlink()
    env = {**os.environ, "COVERAGE_FILE": data}
    # Of copies of the tool, which tests make of wheels, nothing is shown
    for command in (["combine", "--quiet"], ["report", "--include", "ops/*", "--skip-covered", "--sort", "-miss"]):
        subprocess.run([sys.executable, "-m", "coverage", *command], cwd=PROJECT, env=env, check=True)
    return tests.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
