"""`python -m bench [--json] [--allow-missing]` (`make bench`): all benches, a process each."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BENCHES = ("startup", "fanout", "consume", "lag", "managers", "jobs", "rollout", "deploy")
LIMIT_SECONDS = 3600


def command(bench: str, *, as_json: bool, allow_missing: bool) -> list[str]:
    """Give the argv of one bench."""
    flags = ["--json"] * as_json + ["--allow-missing"] * allow_missing
    return [sys.executable, str(HERE / f"{bench}.py"), *flags]


def main() -> int:
    """Run them one after the other; gives the largest exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON list of all reports")
    parser.add_argument("--allow-missing", action="store_true", help="claims that miss their peer count as held")
    options = parser.parse_args()
    worst, reports = 0, []
    for bench in BENCHES:
        argv = command(bench, as_json=options.json, allow_missing=options.allow_missing)
        output = subprocess.PIPE if options.json else None
        done = subprocess.run(argv, stdout=output, timeout=LIMIT_SECONDS, text=True, check=False)
        worst = max(worst, done.returncode)
        if done.stdout:
            reports.append(json.loads(done.stdout))
    if options.json:
        print(json.dumps(reports, indent=2))
    return worst


if __name__ == "__main__":
    sys.exit(main())
