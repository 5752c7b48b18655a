"""The fleet of the rollout bench: Kafka, two hosts behind SSH with two consumers each, and who restarts them.

There are two such fleets on the same hosts, each with a consumer group and topics of its own: one that `fab` runs, one
that the recipe to compare with runs. While one is measured the other one idles.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.sandbox.census import end_all, guard
from ops.sandbox.daemon import MARKER
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.layout import make_release

HOSTS, PROCESSES, PARTITIONS = 2, 2, 12
FAB_GROUP, RECIPE_GROUP = "rollout", "recipe"
COMMAND_SECONDS = 150.0
SETTLE_SECONDS = 60.0
_STOP_SECONDS = 5.0
_FAB = str(Path(sys.executable).parent / "fab")
_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, eq=False)
class Strategy:
    """One way to restart the fleet.

    Attributes
    ----------
    name : in the report.
    rollout : the settings of `fab karafka.restart`; empty for the recipe.
    """

    name: str
    rollout: dict[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The consumer group of its fleet."""
        return FAB_GROUP if self.rollout else RECIPE_GROUP


RECIPE = Strategy("capistrano-karafka's recipe")
ALL = Strategy("all", {"strategy": "all", "standby": "off"})
ROLLING = Strategy("rolling, no standby", {"strategy": "rolling", "standby": "off"})
WARM = Strategy("rolling, warm", {"strategy": "rolling", "standby": "auto"})
STRATEGIES = (RECIPE, ALL, ROLLING, WARM)


class Watched(ABC):
    """A running fleet that one looks at while it is restarted.

    Parameters
    ----------
    directory : of the project: fabfile and settings.
    """

    def __init__(self, directory: Path, kafka: EmbeddedKafka, cluster: Cluster) -> None:
        self.brokers = Brokers.at(kafka.bootstrap)
        self.cluster = cluster
        self._directory = directory
        directory.mkdir()
        (directory / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")

    @abstractmethod
    def restart(self, strategy: Strategy) -> list[dict[str, float]]:
        """Restart a fleet by a command over SSH; give the timings of each process, where it says them.

        Raises
        ------
        OpsError : it failed.
        """

    @abstractmethod
    def told(self, group: str) -> list[dict[str, Any]]:
        """Give what the running processes of a fleet tell of their group, by their own status records."""

    def settled(self, group: str) -> int:
        """Wait until every process has its partitions in one and the same generation; gives that.

        Raises
        ------
        OpsError : not within a minute.
        """

        def generation() -> int | None:
            told = self.told(group)
            found = {one["generation"] for one in told if one["joined"]}
            owned = [number for one in told for numbers in one["assignment"].values() for number in numbers]
            whole = len(told) == HOSTS * PROCESSES and len(found) == 1 and sorted(owned) == list(range(PARTITIONS))
            return found.pop() if whole and all(one["joined"] for one in told) else None

        settled = Deadline(SETTLE_SECONDS).poll(generation, every=0.1)
        if settled is None:
            raise OpsError(f"group {group} was not whole within {SETTLE_SECONDS:g} s: {self.told(group)}")
        return int(settled)

    def until_lag(self, group: str, most: int) -> None:
        """Wait until at most so many messages of a group are left.

        Raises
        ------
        OpsError : more were left after a minute.
        """
        left: list[int | None] = []

        def done() -> bool:
            left[:] = [one.lag for one in observe(self.cluster, [group])]
            return all(lag is not None and lag <= most for lag in left)

        if not Deadline(SETTLE_SECONDS).poll(done, every=0.1):
            raise OpsError(f"group {group}: {left[0]} messages are left after {SETTLE_SECONDS:g} s")

    def run(self, argv: Sequence[str], data: str) -> str:
        """Run a command of the project to its end, and give its output.

        Raises
        ------
        OpsError : it failed, or took too long.
        """
        try:
            done = subprocess.run(
                argv,
                cwd=self._directory,
                input=data,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
                start_new_session=True,  # Ctrl-C is this process's, which then ends everything
            )
        except subprocess.TimeoutExpired as error:
            raise OpsError(f"{' '.join(argv)} had not ended after {COMMAND_SECONDS:g} s") from error
        if done.returncode:
            raise OpsError(
                f"{' '.join(argv)} exited with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return done.stdout


class Lab(Watched):
    """A running fleet of both kinds.

    Parameters
    ----------
    directory : of the project: fabfile, settings, the recipe's job.
    """

    def __init__(self, directory: Path, kafka: EmbeddedKafka, fleet: LocalFleet, cluster: Cluster) -> None:
        super().__init__(directory, kafka, cluster)
        self._fleet = fleet
        self._bootstrap = kafka.bootstrap
        for number, strategy in enumerate(STRATEGIES):
            if strategy.rollout:
                self._settings(number).write_text(json.dumps(self._section(strategy), indent=1))  # JSON is YAML
        for host in fleet.hosts:
            make_release(host.files, self._settings(STRATEGIES.index(WARM)))
            (host.files.deploy_to / "shared" / "recipe").mkdir()

    def start(self) -> None:
        """Start both fleets, and wait until they work."""
        self._fab(WARM, "karafka.start")
        self._recipe("start")
        self.settled(FAB_GROUP)
        self.settled(RECIPE_GROUP)

    def restart(self, strategy: Strategy) -> list[dict[str, float]]:
        """Restart one of the two."""
        if not strategy.rollout:
            self._recipe("restart")
            return []
        return timings_of(self._fab(strategy, "karafka.restart", "--json"))

    def told(self, group: str) -> list[dict[str, Any]]:
        """Give what the running processes of a fleet tell of their group, by their own status records."""
        folder = "tmp/slots" if group == FAB_GROUP else "recipe"
        told = []
        for host in self._fleet.hosts:
            for path in sorted((host.files.deploy_to / "shared" / folder).glob("karafka-*.status")):
                record = json.loads(path.read_text())
                if record["state"] == "running":
                    told.append(record["groups"][group])
        return told

    def _fab(self, strategy: Strategy, *arguments: str) -> str:
        settings = str(self._settings(STRATEGIES.index(strategy)))
        return self.run([_FAB, "-f", settings, *arguments], "")

    def _recipe(self, verb: str) -> str:
        hosts = [(one.files.address, one.files.port, one.files.user) for one in self._fleet.hosts]
        processes = []
        for number in range(PROCESSES):
            base = f"../app/shared/recipe/karafka-{number}"  # sessions begin in home
            env = self._environment(RECIPE_GROUP) | {
                "KARAFKA_APP": "relay:app",
                "KARAFKA_BROKERS": self._bootstrap,
                "KARAFKA_STATUS_FILE": f"{base}.status",
            }
            argv = [sys.executable, "-m", "ops", "server"]
            processes.append({"argv": argv, "env": env, "pidfile": f"{base}.pid", "log": f"{base}.log"})
        job = {"hosts": hosts, "key": str(self._fleet.key), "processes": processes}
        return self.run([sys.executable, str(_HERE / "recipe.py"), verb], json.dumps(job))

    def _settings(self, number: int) -> Path:
        return self._directory / f"strategy-{number}.yaml"

    def _section(self, strategy: Strategy) -> dict[str, Any]:
        hosts = [
            {
                "host": one.name,
                "address": one.files.address,
                "port": one.files.port,
                "user": one.files.user,
                "deploy_to": str(one.files.deploy_to),
            }
            for one in self._fleet.hosts
        ]
        return {
            "connect_kwargs": {"key_filename": str(self._fleet.key), "look_for_keys": False, "allow_agent": False},
            "load_ssh_configs": False,
            "karafka": {
                "application": "bench",
                "app": "relay:app",
                "deploy_to": "/nowhere",  # each host has its own
                "command": [sys.executable, "-m", "ops", "server"],
                "agent_python": sys.executable,
                "env": self._environment(FAB_GROUP),
                "processes": PROCESSES,
                "kafka": {"brokers": [self._bootstrap]},
                "known_hosts": str(self._fleet.known_hosts),
                # alike for all: the wait for a bad release to show is not what is measured
                "rollout": {**strategy.rollout, "settle_seconds": 1},
                "stages": {"bench": {"hosts": hosts}},
            },
        }

    def _environment(self, group: str) -> dict[str, str]:
        return {
            "BENCH_GROUP": group,
            "PYTHONPATH": str(_HERE / "consumers"),
            MARKER: str(self._fleet.directory / "hosts"),  # by it everything is ended at last
        }


def timings_of(said: str) -> list[dict[str, float]]:
    """Give the timings of each process, as `fab karafka.restart --json` tells them."""
    hosts = json.loads(said)["hosts"]
    return [one["timings"] for host in hosts for one in host["processes"] if one.get("timings")]


@contextmanager
def running_lab(directory: Path, say: Callable[[str], None]) -> Iterator[Lab]:
    """Start Kafka, the hosts and both fleets; nothing of it is left at the end, not even when this process is killed.

    Parameters
    ----------
    say : is told what is being done.
    """
    fleet = LocalFleet(directory / "fleet", HOSTS)
    kafka = EmbeddedKafka(directory / "kafka")
    guard(directory, Identity.own())
    try:
        began = time.monotonic()
        kafka.start()
        stamped = {"message.timestamp.type": "LogAppendTime"}
        kafka.create_topics({f"{group}-in": PARTITIONS for group in (FAB_GROUP, RECIPE_GROUP)})
        kafka.create_topics({f"{group}-out": PARTITIONS for group in (FAB_GROUP, RECIPE_GROUP)}, stamped)
        fleet.start()
        with Cluster(Brokers.at(kafka.bootstrap), timeout_seconds=30) as cluster:
            lab = Lab(directory / "project", kafka, fleet, cluster)
            lab.start()
            say(f"Kafka, {HOSTS} hosts ({fleet.server}) and their consumers run after {time.monotonic() - began:.0f} s")
            yield lab
    finally:
        end_all(directory, _STOP_SECONDS)
