"""A status of ten processes: plain ones with pidfiles beside those that supervisor or systemd keeps.

`inv status` as a whole command, and the agent's function that it calls, in one process: what asking supervisord adds to
looking at the slots. systemd's are on a host of their own, with pidfiles beside them there (`bench/managers_host.py`).
Times are the smallest of some runs that take turns: what disturbs a run can only add.

    python -m bench.managers [--rounds 15] [--json] [--allow-missing]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.managers_host import at_a_host
from bench.measure import Contender, take_turns
from bench.report import Report
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.core.keeping import Keeping
from ops.core.protocol import ProcessSpec, Request, Response, Verb
from ops.core.section import load
from ops.core.settings import Settings
from ops.core.states import State
from ops.fleet.plan import keeping_of, process_specs
from ops.node.agent import carry_out
from ops.sandbox.census import guard
from ops.sandbox.nspawn import missing
from ops.sandbox.supervisord import LocalSupervisord
from ops.tasks.project import HOST_FILE

PROCESSES = 10
BOUND = 1.5
LOOKS = 50
_TEXT = f"inv status of {PROCESSES} processes, {{manager}} / pidfile"
_FILE = """\
karafka:
  application: {manager}
  deploy_to: {root}
  agent_python: {python}
  command: sleep 600
  processes: {processes}
  readiness: alive
  manager: {manager}
  supervisor: {{socket: {socket}, conf_d: {conf_d}}}
  stages: {{bench: {{hosts: [{{host: host1}}]}}}}
"""


class Project:
    """An application of ten processes on this host, and who keeps them."""

    def __init__(self, folder: Path, manager: str, server: LocalSupervisord) -> None:
        import yaml

        self.folder, self.manager = folder, manager
        (folder / "host" / "current").mkdir(parents=True)
        text = _FILE.format(
            manager=manager,
            root=folder / "host",
            python=sys.executable,
            processes=PROCESSES,
            socket=server.socket,
            conf_d=server.conf_d,
        )
        (folder / "fabric.yaml").write_text(text)
        (folder / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
        host_file = folder / "host" / HOST_FILE  # as `fab karafka.setup` leaves it
        host_file.parent.mkdir()
        host_file.write_text('{"host": "host1", "stage": "bench"}')
        self.settings: Settings = load(yaml.safe_load(text)["karafka"])
        self.keeping: Keeping = keeping_of(self.settings)
        self.specs: Sequence[ProcessSpec] = process_specs(self.settings, self.settings.hosts[0])

    def ask(self, verb: Verb, expected: State) -> Response:
        """Have the agent's functions do something to the ten processes.

        Raises
        ------
        OpsError : they are not as expected afterwards.
        """
        response = carry_out(Request(verb, "host1", tuple(self.specs), keeping=self.keeping), lambda _: None)
        if response.error or any(one.state is not expected for one in response.processes):
            raise OpsError(f"{verb}: {response}", where=self.manager)
        return response

    def look_ms(self) -> float:
        """Look at them once, and give the time."""
        began = time.perf_counter()
        self.ask(Verb.STATUS, State.RUNNING)
        return 1000 * (time.perf_counter() - began)

    @property
    def command(self) -> Contender:
        """`inv status` of it."""
        inv = str(Path(sys.executable).parent / "inv")
        return Contender(f"inv status, {self.manager}", (inv, "status"), self.folder, expect="running", times=PROCESSES)


@contextmanager
def projects(root: Path) -> Iterator[list[Project]]:
    """Let ten processes of each manager run."""
    with LocalSupervisord(root / "supervisord") as server:
        own = Identity.own()
        guard(server.folder, own)
        made = [Project(root / name, name, server) for name in ("pidfile", "supervisor")]
        server.install("supervisor", made[1].specs)
        try:
            for one in made:
                one.ask(Verb.START, State.RUNNING)
            yield made
        finally:
            for one in made:
                one.ask(Verb.STOP, State.STOPPED)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    report = Report("managers")
    with tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary, projects(Path(temporary)) as made:
        take_turns([one.command for one in made], 1)  # warms the caches
        costs = take_turns([one.command for one in made], options.rounds)
        looks: dict[str, list[float]] = {one.manager: [] for one in made}
        for _ in range(LOOKS):
            for one in made:
                looks[one.manager].append(one.look_ms())
    walls = {one.manager: [1000 * cost.wall_seconds for cost in costs[one.command.name]] for one in made}
    for manager, wall in walls.items():
        report.row(
            manager=manager,
            processes=PROCESSES,
            inv_status_ms=round(min(wall), 1),
            inv_status_median_ms=round(statistics.median(wall), 1),
            cpu_ms=round(1000 * min(cost.cpu_seconds for cost in costs[f"inv status, {manager}"]), 1),
            agents_function_ms=round(min(looks[manager]), 2),
        )
    _claim(report, "supervisor", walls["supervisor"], walls["pidfile"])
    _under_systemd(report, options.rounds)
    return report.finish(options.json, options.allow_missing)


def _under_systemd(report: Report, rounds: int) -> None:
    """Measure `inv status` on a host whose PID 1 is systemd, where this machine can boot one."""
    if missing():
        report.claim(_TEXT.format(manager="systemd"), missing(), f"<= {BOUND:g}", None)
        return
    with (
        tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary,
        at_a_host(Path(temporary), PROCESSES) as commands,
    ):
        take_turns(list(commands.values()), 1)
        costs = take_turns(list(commands.values()), rounds)
    walls = {}
    for manager, command in commands.items():
        walls[manager] = [1000 * cost.wall_seconds for cost in costs[command.name]]
        report.row(
            manager=f"{manager} there",
            processes=PROCESSES,
            inv_status_ms=round(min(walls[manager]), 1),
            inv_status_median_ms=round(statistics.median(walls[manager]), 1),
            cpu_ms=round(1000 * min(cost.cpu_seconds for cost in costs[command.name]), 1),
        )
    _claim(report, "systemd", walls["systemd"], walls["pidfile"])


def _claim(report: Report, manager: str, some: Sequence[float], pidfile: Sequence[float]) -> None:
    ratio = min(some) / min(pidfile)
    report.claim(_TEXT.format(manager=manager), round(ratio, 2), f"<= {BOUND:g}", ratio <= BOUND)


if __name__ == "__main__":
    sys.exit(main())
