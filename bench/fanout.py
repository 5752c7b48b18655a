"""Status of a fleet over SSH: `fab karafka.status` against OpenSSH, Fabric's ThreadingGroup, Ansible and pyinfra.

All of them run the same agent command on the same hosts (sshd on loopback, two running processes each), taking turns;
each figure is the smallest of the rounds: what disturbs a run can only add.

    python bench/fanout.py [--hosts 20,50,100] [--rounds 3] [--json] [--allow-missing]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench import contenders
from bench.fleet import Project, running_fleet
from bench.measure import Cost, take_turns
from bench.peers import peer
from bench.report import Report
from ops.core.errors import OpsError

WALL_BOUNDS = {contenders.OPENSSH: 0.6, contenders.GROUP: 0.8, contenders.PYINFRA: 0.9}
CPU_BOUND_MS = 8.0  # a host, beyond what starting costs
MEMORY_BOUND_MB = 120.0


def measure(project: Project, rounds: int) -> dict[str, list[Cost]]:
    """Let everybody who is there have their turns."""
    chosen = [contenders.startup(project), contenders.ours(project)]
    chosen += [one for make in contenders.PEERS.values() if (one := make(project)) is not None]
    return take_turns(chosen, rounds, lambda line: print(f"{len(project.hosts)} hosts, {line}", file=sys.stderr))


def show(report: Report, hosts: int, costs: dict[str, list[Cost]]) -> None:
    """Add a row for each contender."""
    own = wall(costs, contenders.OURS)
    for name, some in costs.items():
        report.row(
            hosts=hosts,
            command=name,
            wall_s=round(wall(costs, name), 2),
            slowest_s=round(max(one.wall_seconds for one in some), 2),
            cpu_s=round(cpu(costs, name), 2),
            rss_mb=round(max(one.rss_bytes for one in some) / 1e6, 1),
            fab_is=f"{own / wall(costs, name):.2f} x",
        )


def judge(report: Report, hosts: int, costs: dict[str, list[Cost]]) -> None:
    """Add the claims; those that miss what they compare with are open."""
    there = contenders.OURS in costs
    for name, bound in WALL_BOUNDS.items():
        ratio = wall(costs, contenders.OURS) / wall(costs, name) if there and name in costs else None
        claim(report, f"at {hosts} hosts, wall time of fab karafka.status / {name}", ratio, bound)
    each = (cpu(costs, contenders.OURS) - cpu(costs, contenders.STARTUP)) * 1000 / hosts if there else None
    claim(report, f"at {hosts} hosts, CPU ms a host beyond fab --list", each, CPU_BOUND_MS)
    memory = max(one.rss_bytes for one in costs[contenders.OURS]) / 1e6 if there else None
    claim(report, f"at {hosts} hosts, resident memory MB", memory, MEMORY_BOUND_MB)


def claim(report: Report, text: str, measured: float | None, bound: float) -> None:
    """Add a claim that something is at most so much."""
    shown = None if measured is None else round(measured, 2)
    report.claim(text, shown, f"<= {bound:g}", None if measured is None else measured <= bound)


def wall(costs: dict[str, list[Cost]], name: str) -> float:
    """Give the smallest wall time in seconds."""
    return min(one.wall_seconds for one in costs[name])


def cpu(costs: dict[str, list[Cost]], name: str) -> float:
    """Give the smallest CPU time in seconds."""
    return min(one.cpu_seconds for one in costs[name])


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="20,50,100", help="numbers of hosts; the claims are about the largest")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    counts = sorted({int(count) for count in options.hosts.split(",")})
    report = Report("fanout")
    costs: dict[str, list[Cost]] = {}
    try:
        if peer("OpenSSH's server").find() is None:
            print("OpenSSH's server is not installed, so there are no hosts to ask: make bench-peers", file=sys.stderr)
        else:
            with (
                tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary,
                running_fleet(Path(temporary), counts) as projects,
            ):
                for project in projects:
                    costs = measure(project, options.rounds)
                    show(report, len(project.hosts), costs)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    judge(report, counts[-1], costs)
    return report.finish(options.json, options.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
