"""`fab karafka.restart` with releases that fail in every way: the first batch stops it, and a good release heals."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.relays import MakeRelays, Relays

if TYPE_CHECKING:
    from ops.reference.tally import Tally

pytestmark = pytest.mark.timeout(400)

EXITS_AT_ONCE = 'raise SystemExit("this release is broken")'
# It says what it reads, and connects to nothing.
HANGS = """
while "KARAFKA_DESCRIBE" not in os.environ:
    print("waiting for a lock", flush=True)
    time.sleep(1)
"""
# Once its status record says that it works it has two seconds to live.
EXITS_AFTER_2_SECONDS = """
def last_words():
    status = pathlib.Path(os.environ["KARAFKA_STATUS_FILE"])
    while not ('"running"' in (text := status.read_text()) and f'{os.getpid()}' in text):
        time.sleep(0.05)
    time.sleep(2)
    print("out of memory, I am leaving", flush=True)
    os._exit(3)

threading.Thread(target=last_words, daemon=True).start()
"""
NEVER_COMMITS = "while True:\n            time.sleep(1)"

# A foreign command: it is ready at once, and joins the group when it likes. It tells how many partitions it has.
MEMBER = """
import os, pathlib, signal, socket, time
from kafka import KafkaConsumer

stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
time.sleep({delay})
consumer = KafkaConsumer(
    os.environ["RELAY_NAME"] + "-in", bootstrap_servers=os.environ["KARAFKA_BROKERS"],
    group_id=os.environ["RELAY_NAME"], auto_offset_reset="earliest", auto_commit_interval_ms=200,
    heartbeat_interval_ms=500, session_timeout_ms=10_000,
)
while not stop:
    consumer.poll(2000)
    (pathlib.Path.cwd().parents[1] / "partitions").write_text(str(len(consumer.assignment())))
consumer.close()
"""


@pytest.fixture(scope="module")
def relays(relays_of: MakeRelays, kafka: SharedKafka) -> Relays:
    """Two hosts with one process each, running the good release."""
    made = relays_of(kafka, kafka.unique("relay"))
    made.start()
    return made


class Case:
    """One bad release under traffic, from a fleet that works to one that works again.

    Attributes
    ----------
    before : pids, before the bad release.
    after : pids and releases of the processes that live after it.
    heal : hosts that the good release is rolled out to; without it those whose processes are outdated by then.
    """

    def __init__(self, relays: Relays, heal: str = "", **bad: str) -> None:
        self.relays = relays
        self.heal = heal
        chosen = ("--hosts", heal) if heal else ("--outdated",)
        self.before: dict[str, int] = relays.pids()
        assert set(relays.releases().values()) == {"good"}
        with relays.traffic(10) as sent:
            relays.release("bad", **bad)
            self.restarted: subprocess.CompletedProcess[str] = relays.fab("karafka.restart")
            self.after: dict[str, tuple[int, str]] = relays.living()
            relays.release("good")
            relays.settings()
            self.healed: subprocess.CompletedProcess[str] = relays.fab("karafka.restart", *chosen)
        self.tally: Tally = relays.tally(sent)

    def check_first_batch_stopped_it(self, code: int, *reasons: str) -> None:
        """Hold that it ended with these words, and that the second host was never touched."""
        done = self.restarted
        assert done.returncode == code, done.stderr
        for reason in reasons:
            assert reason in done.stderr
        assert "host2: not attempted" in done.stdout
        assert "host2" not in {line.split()[1] for line in done.stderr.splitlines() if "karafka-0:" in line}
        assert self.after["host2 karafka-0"] == (self.before["host2 karafka-0"], "good")

    def check_it_was_healed(self) -> None:
        """Hold that the good release works everywhere, and that no message was lost on the way."""
        assert self.healed.returncode == 0, self.healed.stderr
        now = self.relays.pids()
        for name in (f"{host} karafka-0" for host in (self.heal or "host1").split(",")):
            assert now[name] not in {self.before[name], *self.after.get(name, ())}
        if not self.heal:  # what never left the good release was left alone
            assert now["host2 karafka-0"] == self.before["host2 karafka-0"]
            assert "left alone: 1 process runs what current leads to" in self.healed.stderr
        assert set(self.relays.releases().values()) == {"good"}
        assert self.tally.sent > 0
        assert not self.tally.lost, str(self.tally)


@pytest.mark.soak
def test_a_release_that_exits_at_once_never_touches_the_process_that_works(relays: Relays) -> None:
    # Given a fleet that works, under traffic
    relays.settings()
    # When a release that exits at once is rolled out, and then a good one
    case = Case(relays, heal="host1,host2", at_import=EXITS_AT_ONCE)
    # Then the first batch stopped it with its last words, and both processes went on
    case.check_first_batch_stopped_it(1, "this release is broken")
    assert case.after["host1 karafka-0"] == (case.before["host1 karafka-0"], "good")
    # And afterwards all is well, without a message lost or repeated
    case.check_it_was_healed()
    assert case.tally.exact, str(case.tally)


def test_a_release_that_exits_after_two_seconds_is_seen_before_the_next_batch(relays: Relays) -> None:
    # Given a fleet whose first batch is watched for longer than that
    relays.settings({"settle_seconds": 5, "gate_timeout_seconds": 30})
    # When a release that exits two seconds after it was ready is rolled out, and then a good one
    case = Case(relays, at_import=EXITS_AFTER_2_SECONDS)
    # Then the gate after the first batch refused, saying who is down
    case.check_first_batch_stopped_it(
        11, "host1 karafka-0: ready", "the gate after batch 1: refused", "host1 karafka-0 is"
    )
    assert "host1 karafka-0" not in case.after
    # And afterwards all is well
    case.check_it_was_healed()


@pytest.mark.soak
def test_a_release_that_never_gets_warm_is_ended_and_the_old_process_goes_on(relays: Relays) -> None:
    # Given a fleet whose starts may not take long
    relays.settings(start_timeout_seconds=2)
    # When a release that never becomes ready is rolled out, and then a good one
    case = Case(relays, heal="host1", at_import=HANGS)
    # Then the first batch stopped it with its last words, and both processes went on
    case.check_first_batch_stopped_it(1, "waiting for a lock")
    assert case.after["host1 karafka-0"] == (case.before["host1 karafka-0"], "good")
    # And afterwards all is well, without a message lost or repeated
    case.check_it_was_healed()
    assert case.tally.exact, str(case.tally)


@pytest.mark.soak
def test_a_release_that_never_becomes_ready_without_a_standby_stops_at_the_first_host(relays: Relays) -> None:
    # Given a fleet whose processes are stopped before their successors start, which may not take long
    relays.settings({"standby": "off"}, start_timeout_seconds=3)
    # When a release that never becomes ready is rolled out, and then a good one
    case = Case(relays, at_import=HANGS)
    # Then the first batch stopped it with its last words, and nothing of it is left
    case.check_first_batch_stopped_it(1, "waiting for a lock")
    assert "host1 karafka-0" not in case.after
    # And afterwards all is well
    case.check_it_was_healed()
    assert case.tally.exact, str(case.tally)


@pytest.mark.soak
def test_a_release_that_joins_and_never_commits_is_refused_by_the_gate(relays: Relays) -> None:
    # Given a fleet whose groups may not take long after a batch
    relays.settings({"gate_timeout_seconds": 6})
    # When a release whose controller never returns is rolled out, and then a good one
    case = Case(relays, at_message=NEVER_COMMITS)
    # Then the gate after the first batch refused, saying who does not advance
    case.check_first_batch_stopped_it(
        11, "host1 karafka-0: ready", "the gate after batch 1: refused", "does not advance"
    )
    assert case.after["host1 karafka-0"][1] == "bad"
    # And afterwards all is well, without a message lost or repeated
    case.check_it_was_healed()
    assert case.tally.exact, str(case.tally)


def test_the_next_batch_waits_for_a_process_that_joins_slowly(relays_of: MakeRelays, kafka: SharedKafka) -> None:
    # Given a fleet of a foreign command that is ready before it joins its group, under traffic
    members = relays_of(kafka, kafka.unique("members"))
    members.settings(
        app=None,
        command=[sys.executable, "member.py"],
        kafka={"brokers": [kafka.bootstrap], "groups": [members.name]},
    )
    members.release("quick", member=MEMBER.format(delay=0))
    assert members.fab("karafka.start").returncode == 0
    told = [members.root(host.name) / "partitions" for host in members.hosts]
    assert Deadline(90).poll(lambda: all(one.exists() and one.read_text() == "2" for one in told), every=0.1)
    with members.traffic(10):
        # When a release that joins slowly is rolled out
        members.release("slow", member=MEMBER.format(delay=3))
        done = members.fab("karafka.restart")
    # Then it succeeds, and the second host was not begun until the first one's process had joined and committed
    assert done.returncode == 0, done.stderr
    passed = re.search(r"the gate after batch 1 passed after ([0-9.]+) s", done.stderr)
    assert passed is not None, done.stderr
    assert float(passed[1]) > 2
    assert passed.start() < done.stderr.index("host2 karafka-0: asked to stop")
    assert [release for _, release in members.living().values()] == ["slow", "slow"]
