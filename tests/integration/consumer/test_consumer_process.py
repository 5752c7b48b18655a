"""The process around the framework: start, readiness, signals, status record, errors, exit codes."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from ops.consumer.settings import ConsumerSettings
from ops.core.deadline import Deadline
from ops.core.errors import SettingsError
from ops.core.notify import NotifySocket
from ops.sandbox.shared import SharedKafka
from tests.labs.consumer_bench import MakeBench

pytestmark = pytest.mark.kafka


def test_ready_is_said_once_every_partition_is_assigned_the_watchdog_is_fed_and_the_lag_told(
    kafka: SharedKafka, bench_of: MakeBench, notify: NotifySocket
) -> None:
    # Given a manager that listens, with a watchdog of a second
    bench = bench_of(kafka)
    process = bench.start(NOTIFY_SOCKET=notify.address, WATCHDOG_USEC="1000000")
    # When the process says that it is ready
    first = notify.receive(process.pid, Deadline(30))
    # Then its record shows a member of the group with all partitions
    assert first is not None, bench.log()
    assert first["READY"] == "1"
    assert "4 partitions" in first["STATUS"]
    bench.ready()
    facts = bench.group()
    assert facts["assignment"] == {bench.source: [0, 1, 2, 3]}
    assert facts["member_id"].startswith(bench.name)
    assert facts["generation"] >= 1
    assert bench.status()["pid"] == process.pid
    # And the watchdog is fed
    fed = [notify.receive(process.pid, Deadline(5)) for _ in range(2)]
    assert [message and message.get("WATCHDOG") for message in fed] == ["1", "1"]
    # When a message is held, and five are behind it
    gate = bench.directory / "gate"
    bench.send([{"sequence": 0, "hold": str(gate)}])
    assert Deadline(20).poll((bench.directory / "gate.in").exists)
    bench.numbers(5, first=1)

    def told(lag: str) -> bool:
        return lag in (notify.receive(process.pid, Deadline(5)) or {}).get("STATUS", "")

    # Then people are told, and after it is done of none
    assert Deadline(20).poll(lambda: told("lag 5") or told("lag 6"))
    gate.touch()
    assert Deadline(20).poll(lambda: told("lag 0"))
    # And stopping is said
    process.send_signal(signal.SIGTERM)
    deadline = Deadline(10)
    assert deadline.poll(lambda: "STOPPING" in (notify.receive(process.pid, deadline) or {}))
    assert process.wait(20) == 0


def test_a_stalled_message_starves_the_watchdog_and_is_logged(
    kafka: SharedKafka, bench_of: MakeBench, notify: NotifySocket
) -> None:
    # Given a time limit of half a second and a message that is held
    bench = bench_of(kafka, partitions=1)
    gate = bench.directory / "gate"
    process = bench.start(NOTIFY_SOCKET=notify.address, WATCHDOG_USEC="300000", KARAFKA_MESSAGE_TIMEOUT_SECONDS="0.5")
    assert notify.receive(process.pid, Deadline(30)) is not None, bench.log()
    bench.send([{"sequence": 0, "hold": str(gate)}])
    # When it is over its limit
    assert Deadline(30).poll(lambda: "blocks its partition" in bench.log())
    # Then no more food comes (what was sent before is read away first)
    while notify.receive(process.pid, Deadline(0.05)) is not None:
        pass
    assert notify.receive(process.pid, Deadline(1.0)) is None
    # And its record says so, while its poll loop turns
    assert Deadline(20).poll(lambda: bench.group()["overdue_seconds"] > 0.5)
    assert bench.group()["working"]
    assert bench.group()["last_progress_seconds_ago"] < 2
    # And the log says why, and where its threads are
    assert "the watchdog is not fed any more" in bench.log()
    assert "kafka_app.py" in bench.log()
    # And it goes on once the message is done
    gate.touch()
    assert notify.receive(process.pid, Deadline(20)) is not None


def test_term_finishes_the_message_in_work_commits_it_and_repeats_nothing(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given slow messages in work
    bench = bench_of(kafka, partitions=2)
    bench.numbers(200)
    process = bench.start(TEST_WORK_SECONDS="0.02")
    assert Deadline(30).poll(lambda: bench.group().get("processed", 0) > 5), bench.log()
    # When it is told to stop in the middle
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, bench.log()
    # Then what is committed is what was answered
    done = bench.committed()
    assert 0 < done < 200
    assert len(bench.read(bench.target, done + 1, timeout_seconds=2)) == done
    # And the next process does the rest, each once
    bench.start("1")
    assert bench.sequences(200) == list(range(200)), bench.log("1")


def test_usr2_drains_as_term_does_and_ends_by_that_signal(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given slow messages in work
    bench = bench_of(kafka, partitions=2)
    bench.numbers(200)
    process = bench.start(TEST_WORK_SECONDS="0.02")
    assert Deadline(30).poll(lambda: bench.group().get("processed", 0) > 5), bench.log()
    # When it is told to end and be started anew
    process.send_signal(signal.SIGUSR2)
    # Then what is committed is what was answered, and whoever keeps it knows why it has ended
    assert process.wait(20) == -signal.SIGUSR2, bench.log()
    done = bench.committed()
    assert 0 < done < 200
    assert len(bench.read(bench.target, done + 1, timeout_seconds=2)) == done


def test_a_stop_while_it_drains_for_usr2_is_no_second_one(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given a message that is held
    bench = bench_of(kafka, partitions=1)
    gate = bench.directory / "gate"
    process = bench.start()
    bench.ready()
    bench.send([{"sequence": 0, "hold": str(gate)}])
    assert Deadline(20).poll((bench.directory / "gate.in").exists)
    # When it is told to be started anew, and then to stop for good
    process.send_signal(signal.SIGUSR2)
    assert Deadline(10).poll(lambda: bench.status().get("state") == "draining")
    process.send_signal(signal.SIGTERM)
    gate.touch()
    # Then it finishes that message and stops well
    assert process.wait(20) == 0, bench.log()
    assert bench.committed() == 1


def test_signals_for_people_and_for_the_next_version_do_not_end_it_and_term_twice_does_at_once(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given a running process with a log file that was rotated away
    bench = bench_of(kafka)
    new_log = bench.directory / "rotated" / "consumer.log"
    process = bench.start(KARAFKA_LOG_FILE=str(new_log))
    bench.ready()
    # When it is asked for stacks, and to hand over
    process.send_signal(signal.SIGTTIN)
    assert Deadline(10).poll(lambda: "topic_thread.py" in bench.log())
    process.send_signal(signal.SIGUSR1)
    assert Deadline(10).poll(lambda: "no replacement" in bench.log())
    # And to open a log file that cannot be opened, then one that can
    process.send_signal(signal.SIGHUP)
    assert Deadline(10).poll(lambda: "cannot be opened anew" in bench.log())
    new_log.parent.mkdir()
    process.send_signal(signal.SIGHUP)
    assert Deadline(10).poll(lambda: new_log.exists() and "opened anew" in new_log.read_text())
    # Then it still works
    bench.numbers(10)
    assert bench.sequences(10) == list(range(10))
    assert process.poll() is None
    # When TERM comes while a message is held for good, and again
    bench.send([{"sequence": 0, "hold": str(bench.directory / "never")}])
    assert Deadline(20).poll((bench.directory / "never.in").exists)
    process.send_signal(signal.SIGTERM)
    assert Deadline(10).poll(lambda: bench.status().get("state") == "draining")
    process.send_signal(signal.SIGTERM)
    # Then it does not wait for the message
    assert process.wait(5) == 1
    assert bench.status()["state"] == "stopped"
    assert "ending at once" in new_log.read_text()


@pytest.mark.parametrize("path", ["missing/status.json", pytest.param("/dev/full/status.json", marks=pytest.mark.soak)])
def test_a_status_record_that_cannot_be_written_stops_nothing(
    kafka: SharedKafka, bench_of: MakeBench, path: str
) -> None:
    # Given a record in a folder that does not exist, or on a full disk
    bench = bench_of(kafka)
    bench.numbers(10)
    process = bench.start(KARAFKA_STATUS_FILE=str(bench.directory / path))
    assert Deadline(30).poll(lambda: "ready:" in bench.log()), bench.log()
    assert "cannot be written" in bench.log()
    # Then the messages are answered
    assert bench.sequences(10) == list(range(10))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_a_missing_topic_is_named_and_ends_the_start_with_exit_2(kafka: SharedKafka, bench_of: MakeBench) -> None:
    bench = bench_of(kafka)
    missing = kafka.unique("nowhere")
    process = bench.start(TEST_TARGET=missing)
    assert process.wait(40) == 2
    assert f"topic '{missing}' (sent to by RelayResponder) does not exist" in bench.log()
    assert "Traceback" not in bench.log()


def test_without_a_broker_it_says_so_every_few_seconds_and_ends_with_exit_4(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given an address where nobody listens
    bench = bench_of(kafka)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        # When
        process = bench.start(KARAFKA_BROKERS=address, KARAFKA_CONNECT_TIMEOUT_SECONDS="4")
        # Then
        assert process.wait(20) == 4
    assert bench.log().count("waiting for a broker") >= 2
    assert f"no broker answered within 4 s: {address}" in bench.log()
    assert "Traceback" not in bench.log()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("KARAFKA_BROKERS", "", "KARAFKA_BROKERS: missing"),
        ("KARAFKA_BROKERS", "localhost", "expected host:port, got 'localhost'"),
        ("KARAFKA_MESSAGE_TIMEOUT_SECONDS", "300", "must be below KARAFKA_MAX_POLL_INTERVAL_SECONDS (300)"),
        ("KARAFKA_SESSION_TIMEOUT_SECONDS", "ten", "expected seconds, got 'ten'"),
    ],
)
def test_each_wrong_setting_is_named(variable: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ConsumerSettings.from_environment({"KARAFKA_BROKERS": "kafka1:9092", variable: value})
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_wrong_setting_is_named_and_ends_with_exit_2(kafka: SharedKafka, bench_of: MakeBench) -> None:
    bench = bench_of(kafka, partitions=1)
    process = bench.start(KARAFKA_BROKERS="localhost")
    assert process.wait(20) == 2
    assert "expected host:port, got 'localhost'" in bench.log()
    assert "Traceback" not in bench.log()


@pytest.mark.parametrize("traffic", [pytest.param(True, marks=pytest.mark.soak), False])
def test_a_fenced_process_ends_with_exit_10_idle_or_not(kafka: SharedKafka, bench_of: MakeBench, traffic: bool) -> None:
    # Given a process with an instance id
    bench = bench_of(kafka)
    first = bench.start("0", KARAFKA_INSTANCE_ID="slot-0")
    bench.ready("0")
    assert bench.group("0")["instance_id"] == "slot-0"
    # When another one starts under the same id
    bench.start("1", KARAFKA_INSTANCE_ID="slot-0")
    bench.ready("1")
    if traffic:
        bench.numbers(100)
    # Then the first one ends and says why; the second goes on
    assert first.wait(30) == 10, bench.log("0")
    assert "another process works as 'slot-0'" in bench.log("0")
    bench.numbers(50, first=1000)
    assert Deadline(30).poll(lambda: bench.committed() == (150 if traffic else 50)), bench.log("1")


def test_a_killed_process_loses_nothing(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given messages in work
    bench = bench_of(kafka)
    bench.numbers(200)
    process = bench.start(TEST_WORK_SECONDS="0.005", KARAFKA_INSTANCE_ID="slot-0")
    assert Deadline(30).poll(lambda: bench.group().get("processed", 0) > 20), bench.log()
    # When it is killed and started again
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    bench.start("1", KARAFKA_INSTANCE_ID="slot-0")
    assert Deadline(60).poll(lambda: bench.committed() == 200), bench.log("1")
    # Then every message was answered at least once
    assert set(bench.sequences(201, timeout_seconds=5)) == set(range(200))
