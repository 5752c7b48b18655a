"""What starting costs: the on-host agent against a bare interpreter, `inv` and `fab` against empty task files.

CPU (user and system) of whole processes, the smallest of some runs that take turns: what disturbs a run can only add.

    python bench/startup.py [--rounds 15] [--json] [--allow-missing]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.measure import Contender, run, take_turns
from bench.report import Report
from ops.core.errors import OpsError
from ops.core.protocol import ProcessSpec, Request, Response, Verb, decode_line
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State

BIN = Path(sys.executable).parent
LIMIT_SECONDS = 60.0
AGENT_BOUND = 4.5
LIST_BOUND = 1.3
HEAVY = ("fabric", "kafka", "sqlalchemy")
_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)


def imported(argv: Sequence[str], directory: Path) -> set[str]:
    """Give the top-level packages that a Python command has imported by its end."""
    cost = run([sys.executable, "-X", "importtime", *argv], directory=directory, timeout_seconds=LIMIT_SECONDS)
    names = {name.partition(".")[0] for name in _IMPORTED.findall(cost.output)}
    if "ops" not in names:
        raise OpsError(f"{' '.join(argv)} exited with {cost.code}:\n{cost.output[-2000:]}")
    return names


def project(directory: Path, deploy_to: Path) -> Path:
    """Write a project as its user has it; gives its folder."""
    directory.mkdir()
    (directory / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    (directory / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
    (directory / "fabric.yaml").write_text(
        "karafka:\n"
        "  application: bench\n"
        f"  deploy_to: {deploy_to}\n"
        "  command: sleep 600\n"
        "  processes: 2\n"
        "  readiness: alive\n"
        "  stages: {bench: {hosts: [{host: host1}]}}\n"
    )
    return directory


def empty_project(directory: Path) -> Path:
    """Write a project without a task; gives its folder."""
    directory.mkdir()
    for name in ("tasks.py", "fabfile.py"):
        (directory / name).write_text("")
    return directory


def request(verb: Verb, directory: Path) -> bytes:
    """Give the request for two `sleep` processes below a folder."""
    specs = []
    for index in range(2):
        slot = Slot("karafka", index)
        files = SlotFiles.below(str(directory / "shared"), "tmp/pids/karafka.pid", slot)
        specs.append(ProcessSpec(str(slot), ("sleep", "600"), str(directory), files, readiness="alive"))
    return (Request(verb, "host1", tuple(specs)).encode() + "\n").encode()


@contextmanager
def two_processes(directory: Path) -> Iterator[None]:
    """Let two processes run on this host, started and stopped by the agent."""
    directory.mkdir()
    try:
        answer(directory, Verb.START, State.RUNNING)
        yield
    finally:
        answer(directory, Verb.STOP, State.STOPPED)


def answer(directory: Path, verb: Verb, expected: State) -> None:
    """Have the agent do something to the two processes.

    Raises
    ------
    OpsError : they are not as expected afterwards.
    """
    cost = run(AGENT, directory=directory, timeout_seconds=LIMIT_SECONDS, data=request(verb, directory))
    said = decode_line(cost.output.splitlines()[-1])
    if not isinstance(said, Response) or any(one.state is not expected for one in said.processes):
        raise OpsError(f"{verb}: {said}")


AGENT = (sys.executable, "-m", "ops.node")


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    report = Report("startup")
    with tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary:
        root = Path(temporary)
        empty, own = empty_project(root / "empty"), project(root / "project", root / "host")
        inv, fab = str(BIN / "inv"), str(BIN / "fab")
        contenders = [
            Contender("python -c pass", (sys.executable, "-c", "pass"), empty),
            Contender("agent's status", AGENT, empty, request(Verb.STATUS, root / "host")),
            Contender("inv --list, empty tasks.py", (inv, "--list"), empty, expect="No tasks", code=1),
            Contender("inv --list", (inv, "--list"), own),
            Contender("fab --list, empty fabfile.py", (fab, "--list"), empty, expect="No tasks", code=1),
            Contender("fab --list", (fab, "--list"), own),
        ]
        with two_processes(root / "host"):
            take_turns(contenders, 1)  # warms the caches
            costs = take_turns(contenders, options.rounds)
        cpu = {name: min(cost.cpu_seconds for cost in some) for name, some in costs.items()}
        for name, some in costs.items():
            report.row(
                command=name,
                cpu_ms=round(1000 * cpu[name], 1),
                wall_ms=round(1000 * min(cost.wall_seconds for cost in some), 1),
                rss_mb=round(max(cost.rss_bytes for cost in some) / 1e6, 1),
            )
        for name, base, bound in (
            ("agent's status", "python -c pass", AGENT_BOUND),
            ("inv --list", "inv --list, empty tasks.py", LIST_BOUND),
            ("fab --list", "fab --list, empty fabfile.py", LIST_BOUND),
        ):
            ratio = cpu[name] / cpu[base]
            report.claim(f"CPU of {name} / {base}", round(ratio, 2), f"<= {bound:g}", ratio <= bound)
        for arguments in (["status"], ["flow"]):
            found = sorted(imported([inv, *arguments], own) & set(HEAVY))
            report.claim(
                f"inv {arguments[0]} imports none of {', '.join(HEAVY)}", ", ".join(found) or "none", "none", not found
            )
    return report.finish(options.json, options.allow_missing)


if __name__ == "__main__":
    os.environ.pop("KARAFKA_APP", None)  # `inv flow` shows the bundled app
    sys.exit(main())
