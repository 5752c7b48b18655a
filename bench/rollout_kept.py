"""The fleet of the rollout bench where somebody else keeps the processes: four of them, under systemd or supervisor.

Two hosts whose PID 1 is systemd with two processes each, whose deploying user has sudo for the units alone; or one host
with one supervisord and four processes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.rollout_lab import FAB_GROUP, HOSTS, PARTITIONS, PROCESSES, Strategy, Watched, timings_of
from ops.core.brokers import Brokers
from ops.core.identity import Identity
from ops.core.protocol import Verb
from ops.core.section import load
from ops.fleet.plan import process_specs
from ops.kafka.connection import Cluster
from ops.sandbox.census import end_all, guard
from ops.sandbox.daemon import MARKER
from ops.sandbox.deployed import Deployed
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.layout import make_release
from ops.sandbox.nspawn import PYTHON, SOURCE, USER, SystemdHost
from ops.sandbox.supervisord import LocalSupervisord

_FAB = str(Path(sys.executable).parent / "fab")
_HERE = Path(__file__).resolve().parent
_ROLLOUT = {"strategy": "rolling", "settle_seconds": 1}
MANAGERS = {name: Strategy(f"rolling, {name}", _ROLLOUT) for name in ("systemd", "supervisor")}

Tell = Callable[[], list[dict[str, Any]]]


class KeptLab(Watched):
    """A running fleet.

    Parameters
    ----------
    section : the `karafka:` section.
    key : logs in on its hosts.
    tell : reads the status records of its processes.
    """

    def __init__(
        self, directory: Path, kafka: EmbeddedKafka, cluster: Cluster, section: Mapping[str, Any], key: Path, tell: Tell
    ) -> None:
        super().__init__(directory, kafka, cluster)
        self._tell = tell
        connect = {"key_filename": str(key), "look_for_keys": False, "allow_agent": False}
        settings = {"connect_kwargs": connect, "load_ssh_configs": False, "karafka": section}
        (directory / "fabric.json").write_text(json.dumps(settings))

    def start(self) -> None:
        """Start it, and wait until it works."""
        self.run([_FAB, "-f", "fabric.json", "karafka.start"], "")
        self.settled(FAB_GROUP)

    def restart(self, strategy: Strategy) -> list[dict[str, float]]:
        """Restart it by the strategy in its settings."""
        assert strategy in MANAGERS.values(), "there is one, the manager's"
        return timings_of(self.run([_FAB, "-f", "fabric.json", "karafka.restart", "--json"], ""))

    def told(self, group: str) -> list[dict[str, Any]]:
        """Give what its processes tell."""
        return [record["groups"][group] for record in self._tell() if record["state"] == "running"]


@contextmanager
def kept_lab(manager: str, directory: Path, say: Callable[[str], None]) -> Iterator[KeptLab]:
    """Start Kafka, the hosts and the fleet; nothing of it is left at the end, not even when this process is killed.

    Raises
    ------
    OpsError : this machine cannot boot such hosts, or something does not come up.
    """
    began = time.monotonic()
    guard(directory, Identity.own())
    try:
        with ExitStack() as stack:
            lab = (_under_systemd if manager == "systemd" else _under_supervisor)(directory, stack)
            lab.start()
            say(f"Kafka and {HOSTS * PROCESSES} consumers under {manager} run after {time.monotonic() - began:.0f} s")
            yield lab
    finally:
        end_all(directory, timeout_seconds=5.0)


def _under_systemd(directory: Path, stack: ExitStack) -> KeptLab:
    hosts = [stack.enter_context(SystemdHost(directory / f"host{number}", f"host{number}")) for number in (1, 2)]
    for host in hosts[1:]:
        host.trust(hosts[0])
    kafka, cluster = _kafka(directory, stack, hosts[0].gateway)
    section = _section("systemd", kafka, PYTHON, f"{SOURCE}/bench/consumers") | {
        "deploy_to": "/srv/bench",
        "systemd": {"sudo": True},
        "known_hosts": str(hosts[0].known_hosts),
        "stages": {"bench": {"hosts": [{"host": one.name, "address": one.address, "user": USER} for one in hosts]}},
    }
    deployed = [Deployed(host, load(section)) for host in hosts]
    for one in deployed:
        one.release("1")
        one.install()

    def tell() -> list[dict[str, Any]]:
        reports = [report for one in deployed for report in one.ask(Verb.STATUS).processes]
        return [report.consumer for report in reports if report.consumer is not None]

    return KeptLab(directory / "project", kafka, cluster, section, hosts[0].key, tell)


def _under_supervisor(directory: Path, stack: ExitStack) -> KeptLab:
    fleet = stack.enter_context(LocalFleet(directory / "fleet", 1))
    server = stack.enter_context(LocalSupervisord(directory / "supervisord"))
    kafka, cluster = _kafka(directory, stack, "127.0.0.1")
    files = fleet.hosts[0].files
    section = _section("supervisor", kafka, sys.executable, str(_HERE / "consumers"))
    host = {"host": "host1", "address": files.address, "port": files.port, "user": files.user}
    section |= {
        "deploy_to": str(files.deploy_to),
        "env": section["env"] | {MARKER: str(directory)},
        "processes": HOSTS * PROCESSES,
        "supervisor": {"socket": server.socket, "conf_d": str(server.conf_d)},
        "known_hosts": str(fleet.known_hosts),
        "stages": {"bench": {"hosts": [host]}},
    }
    make_release(files, directory / "project" / "fabric.json")
    settings = load(section)
    server.install("bench", process_specs(settings, settings.hosts[0]))

    def tell() -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in (files.deploy_to / "shared/tmp/slots").glob("*.status")]

    return KeptLab(directory / "project", kafka, cluster, section, fleet.key, tell)


def _kafka(directory: Path, stack: ExitStack, address: str) -> tuple[EmbeddedKafka, Cluster]:
    kafka = stack.enter_context(EmbeddedKafka(directory / "kafka", address=address))
    kafka.create_topics({f"{FAB_GROUP}-in": PARTITIONS})
    kafka.create_topics({f"{FAB_GROUP}-out": PARTITIONS}, {"message.timestamp.type": "LogAppendTime"})
    cluster = stack.enter_context(Cluster(Brokers.at(kafka.bootstrap), timeout_seconds=30))
    return kafka, cluster


def _section(manager: str, kafka: EmbeddedKafka, python: str, consumers: str) -> dict[str, Any]:
    return {
        "application": "bench",
        "app": "relay:app",
        "command": [python, "-m", "ops", "server"],
        "agent_python": python,
        "env": {"BENCH_GROUP": FAB_GROUP, "PYTHONPATH": consumers},
        "processes": PROCESSES,
        "manager": manager,
        "kafka": {"brokers": [kafka.bootstrap]},
        "rollout": _ROLLOUT,
    }
