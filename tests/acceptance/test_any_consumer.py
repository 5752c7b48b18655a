"""The README's fleet: any consumer, restarted between gates, by the very settings and the code that the pages show.

What is changed are places and names: addresses, user, key, deploy_to, broker, topic and group. The agent runs on the
test's own interpreter, for `karafka.setup` would make a venv by pip on each host. One of the two hosts is restarted:
the other one's gate would take as long again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from invoke.vendor import yaml  # type: ignore[attr-defined]

from ops.core.brokers import Brokers
from ops.core.cluster import STABLE
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.shared import SharedKafka
from tests.labs.in_process import FABFILE, fab
from tests.labs.operators import FAB, PATIENCE
from tests.labs.ssh_fleet import started

PROJECT = Path(__file__).parents[2]
PARTITIONS = 4  # as many as there are processes
LINE = re.compile(r"^(\d+) (\d+)$", re.MULTILINE)  # what the consumer prints of a message: partition and offset


def block(page: str, language: str) -> str:
    """Return the one block of code that a page has in a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", (PROJECT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert isinstance(text, str)
    return text


def renamed(text: str, old: str, new: str) -> str:
    """Return a text with its one mention of a name replaced."""
    assert text.count(old) == 1, old
    return text.replace(old, new)


class Shown:
    """The project that a reader of the pages has in the end."""

    def __init__(self, folder: Path, fleet: LocalFleet, kafka: SharedKafka) -> None:
        self.folder = folder
        self.name = kafka.unique("billing")
        self.bootstrap = kafka.bootstrap
        kafka.create_topics({self.name: PARTITIONS})
        program = renamed(block("docs/how-to/any-consumer.md", "python"), '"invoices"', repr(self.name))
        program = renamed(program, '"billing"', repr(self.name))
        settings = self._settings(fleet)
        hosts = settings["karafka"]["stages"]["production"]["hosts"]
        self.roots = {one["host"]: Path(one["deploy_to"]) for one in hosts}
        for root in self.roots.values():
            release = root / "releases/20260101000000"
            release.mkdir(parents=True)
            (release / "consumer.py").write_text(program)
            (release / ".venv").symlink_to(sys.prefix)
            (root / "current").unlink(missing_ok=True)
            (root / "current").symlink_to(release)
        folder.mkdir()
        (folder / "fabfile.py").write_text(FABFILE)
        (folder / "fabric.yaml").write_text(yaml.safe_dump(settings))

    def _settings(self, fleet: LocalFleet) -> dict[str, Any]:
        settings: dict[str, Any] = yaml.safe_load(block("README.md", "yaml"))
        karafka = settings["karafka"]
        hosts = karafka["stages"]["production"]["hosts"]
        for shown, real in zip(hosts, fleet.hosts, strict=True):
            files = real.files
            shown.update(address=files.address, port=files.port, user=files.user)
            shown["deploy_to"] = str(files.deploy_to)
        karafka["kafka"].update(brokers=[self.bootstrap], groups=[self.name])
        karafka.update(known_hosts=str(fleet.known_hosts), agent_python=sys.executable)
        keys = {"look_for_keys": False, "allow_agent": False, "key_filename": [str(fleet.key)]}
        return {**settings, "load_ssh_configs": False, "connect_kwargs": keys}

    def fab(self, *arguments: str, code: int = 0) -> str:
        """Run a command that has to end with this code; returns what it says on standard output."""
        return fab(self.folder, *arguments, code=code, config="fabric.yaml").stdout

    def typed(self, *arguments: str) -> str:
        """Run a command as a reader types it, in a process of its own; returns all that it says."""
        done = subprocess.run(
            [FAB, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def processes(self, code: int = 0) -> dict[str, dict[str, Any]]:
        """Return what status says of each process."""
        hosts = json.loads(self.fab("karafka.status", "--json", code=code))["hosts"]
        return {f"{host['host']} {one['name']}": one for host in hosts for one in host["processes"]}

    def shared(self) -> bool:
        """Whether the group has all processes, with one partition each, and has committed whatever there is."""
        from ops.kafka.connection import Cluster
        from ops.kafka.groups import observe

        with Cluster(Brokers.at(self.bootstrap)) as cluster:
            (group,) = observe(cluster, [self.name])
        whole = group.state == STABLE and [len(one.partitions) for one in group.members] == [1] * PARTITIONS
        return whole and not any(one.lag for one in group.progress)

    def consumed(self) -> set[tuple[str, str]]:
        """Return the messages that the logs of all processes name."""
        logs = (path for root in self.roots.values() for path in (root / "shared/log").glob("karafka-*.log"))
        return {message for path in logs for message in LINE.findall(path.read_text())}


@pytest.fixture
def shown(tmp_path: Path, run_owner: Identity, kafka: SharedKafka) -> Iterator[Shown]:
    """The pages' project on two hosts."""
    with started(tmp_path / "fleet", 2, run_owner) as fleet:
        yield Shown(tmp_path / "project", fleet, kafka)


@contextmanager
def traffic(shown: Shown) -> Iterator[list[int]]:
    """Send messages meanwhile; afterwards the list has their number."""
    from ops.reference.traffic import Traffic

    stop, sent = threading.Event(), list[int]()
    stream = Traffic(Brokers.at(shown.bootstrap), shown.name, partitions=PARTITIONS)
    thread = threading.Thread(target=lambda: sent.append(stream.run(20.0, 600.0, stop).count))
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join(PATIENCE)


@pytest.mark.kafka
def test_the_consumer_and_the_settings_of_the_pages_are_restarted_between_gates_and_lose_nothing(shown: Shown) -> None:
    # Given what the pages show, started
    shown.fab("karafka.start")
    assert Deadline(PATIENCE).poll(shown.shared, every=0.2)
    before = shown.processes()
    assert all(sum(len(place["partitions"] or ()) for place in one["places"]) == 1 for one in before.values())
    with traffic(shown) as sent:
        assert Deadline(PATIENCE).poll(lambda: len(shown.consumed()) > PARTITIONS, every=0.1)
        # When a host is restarted while messages come in
        told = shown.typed("karafka.restart", "--hosts", "web1")
    # Then the gates let it pass
    assert "preflight passed" in told, told
    assert "the gate after batch 1 passed" in told, told
    # And every message is consumed
    assert Deadline(PATIENCE).poll(lambda: len(shown.consumed()) >= sent[0] > 0, every=0.1), (shown.consumed(), sent)
    assert len(shown.consumed()) == sent[0]
    # And the processes of that host are others, all in the group
    assert Deadline(PATIENCE).poll(shown.shared, every=0.2)
    after = shown.processes()
    assert {name for name, one in after.items() if one["pid"] != before[name]["pid"]} == {
        "web1 karafka-0",
        "web1 karafka-1",
    }
    # And all of them end when they are told to
    shown.fab("karafka.stop")
    assert {one["state"] for one in shown.processes(code=3).values()} == {"stopped"}
