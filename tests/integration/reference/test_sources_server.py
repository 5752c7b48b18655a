"""The app `sources` as a process: real broker, real database, real HTTP, traffic counted by sequence numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.reference.database import open_engine
from ops.reference.resources import Resources
from ops.reference.sources import app
from ops.reference.tally import count
from ops.reference.traffic import Traffic
from ops.sandbox.remote import RemoteServer
from ops.sandbox.shared import SharedKafka
from tests.labs import sources_app
from tests.labs.brokers import SpareKafka
from tests.labs.topics import messages_by_key

pytestmark = pytest.mark.kafka

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def broker(spare_kafka: SpareKafka) -> SpareKafka:
    """A broker with the app's own topics, and what other tests have left in them."""
    spare_kafka.create_topics(dict.fromkeys(app.topic_names(), 2))
    return spare_kafka


@pytest.fixture
def start(tmp_path: Path, spare_kafka: SpareKafka) -> Iterator[Start]:
    """Starts `python -m ops.reference ...` with everything it needs; ends what is left of it."""
    processes: list[subprocess.Popen[bytes]] = []
    with RemoteServer() as remote:
        environment = os.environ | {
            "SOURCES_DATABASE_URL": f"sqlite:///{tmp_path}/sources.db",
            "SOURCES_REMOTE_URL": remote.url,
        }

        def run(brokers: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
            log = (tmp_path / f"{arguments[0]}-{len(processes)}.log").open("wb")
            with log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "ops.reference", *arguments],
                    env=environment | {"KARAFKA_BROKERS": brokers} | more,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
            processes.append(process)
            return process

        yield run
        sources_app.end(processes, spare_kafka.bootstrap)


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Resources]:
    opened = Resources(open_engine(f"sqlite:///{tmp_path}/sources.db"))
    opened.create_table()
    yield opened
    opened.close()


def _finish(process: subprocess.Popen[bytes], timeout_seconds: float = 60) -> tuple[int, str]:
    output, _ = process.communicate(timeout=timeout_seconds)
    return process.returncode, output.decode()


def _streams(broker: SpareKafka, name: str) -> set[str]:
    """Return the streams of the tickers that have asked for a resource."""
    return {one["stream"] for one in messages_by_key(broker.bootstrap, "sources_refresh")[name]}


def test_traffic_through_two_processes_is_answered_exactly_once_each(
    start: Start, broker: SpareKafka, resources: Resources
) -> None:
    # Given two processes of the app, which share one SQLite file
    servers = [
        start(broker.bootstrap, "server", KARAFKA_INSTANCE_ID=f"sources.test.karafka.{number}") for number in range(2)
    ]

    # When 300 messages a second are sent for a second
    brokers = Brokers.at(broker.bootstrap)
    sent = Traffic(brokers, "repositories_updated").run(300, 1)
    assert sent.count == 300

    # Then each is answered once, and each resource has its newest description
    result = count(brokers, "repositories_updated", ["sources_updated"], streams=[sent.stream])
    assert result.exact, str(result)
    assert len(resources.ids()) == 60
    newest = resources.get("r59")
    assert newest is not None
    assert newest.sequence == 299

    # And both processes drain and end well
    for server in servers:
        server.send_signal(signal.SIGTERM)
    assert [_finish(server)[0] for server in servers] == [0, 0]


def test_the_ticker_has_every_resource_refreshed_and_ends_on_term(
    start: Start, broker: SpareKafka, resources: Resources
) -> None:
    # Given three resources, a process of the app and a ticker each half second
    names = [f"ticked-{number}" for number in range(3)]
    for name in names:
        resources.put(name, {}, 0)
    start(broker.bootstrap, "server")
    ticker = start(broker.bootstrap, "ticker", "--interval", "0.5")

    # When a few ticks have passed
    def refreshed() -> bool:
        rows = [resources.get(name) for name in names]
        return all(row is not None and row.version >= 3 for row in rows)

    assert Deadline(40).poll(refreshed, every=0.1)

    # Then TERM ends the ticker at once
    ticker.send_signal(signal.SIGTERM)
    assert _finish(ticker, 10)[0] == 0

    # And every one of its messages was answered
    brokers, streams = Brokers.at(broker.bootstrap), _streams(broker, names[0])
    result = count(brokers, "sources_refresh", ["sources_refreshed", "sources_disconnected"], streams=streams)
    assert result.exact, str(result)


def test_a_ticker_for_a_while_keeps_its_schedule(start: Start, broker: SpareKafka, resources: Resources) -> None:
    # Given one resource
    resources.put("scheduled", {}, 0)

    # When the ticker runs for 2.3 s with a tick each half second
    ticker = start(broker.bootstrap, "ticker", "--interval", "0.5", "--duration", "2.3")
    assert _finish(ticker)[0] == 0

    # Then it ticked at 0, 0.5, 1.0, 1.5 and 2.0 s
    streams = _streams(broker, "scheduled")
    result = count(Brokers.at(broker.bootstrap), "sources_refresh", ["sources_refresh"], streams=streams)
    assert result.sent == 5
    assert result.longest_gap_seconds
    assert max(result.longest_gap_seconds.values()) < 0.9


def test_the_commands_say_in_text_and_json_what_came_of_it(start: Start, kafka: SharedKafka) -> None:
    # Given traffic by the command
    asked, answered = kafka.unique("asked"), kafka.unique("answered")
    kafka.create_topics({asked: 2, answered: 2})
    code, output = _finish(start(kafka.bootstrap, "produce", asked, "--rate", "100", "--duration", "0.5", "--json"))
    sent = json.loads(output)
    assert (code, sent["count"], sent["failed"]) == (0, 50, 0)

    # When nobody answers, then verify says how many are lost and fails
    code, output = _finish(start(kafka.bootstrap, "verify", asked, answered, "--timeout", "0.3"))
    assert code == 1
    assert "sent 50, received 0, lost 50, repeated 0" in output

    # And it gives the same as JSON; a topic repeated by itself is exact
    code, output = _finish(start(kafka.bootstrap, "verify", asked, asked, "--json"))
    assert code == 0
    assert json.loads(output)["exact"] is True


def test_a_server_whose_database_cannot_be_opened_ends_before_it_joins(
    start: Start, kafka: SharedKafka, tmp_path: Path
) -> None:
    server = start(kafka.bootstrap, "server", SOURCES_DATABASE_URL="sqlite:////no/such/folder/x.db")
    assert _finish(server)[0] == 2
    assert "SOURCES_DATABASE_URL" in (tmp_path / "server-0.log").read_text()
