"""Operators that meet, leave, die or freeze in the middle of `fab karafka.restart`, and what is kept of their work."""

from __future__ import annotations

import json
import re
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.relays import MakeRelays, Relays
from tests.labs.signals import in_background

PATIENCE = 90.0
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def relays(relays_of: MakeRelays, kafka: SharedKafka) -> Relays:
    """Two hosts with one process each."""
    made = relays_of(kafka, kafka.unique("relay"))
    made.start()
    return made


def changed(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the processes that are others than before."""
    return [name for name in before if before[name] != after[name]]


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.soak), signal.SIGTERM])
def test_a_rollout_keeps_others_off_and_once_it_is_ended_finishes_what_has_begun_and_lets_the_next_one_begin(
    relays: Relays, number: signal.Signals
) -> None:
    # Given a rollout in the middle of its first host
    before = relays.pids()
    relays.hang("host1")
    background = in_background() if number is signal.SIGTERM else nullcontext()
    with background, relays.operator("karafka.restart") as first:
        relays.until_hanging("host1")
        # When a second one is begun
        second = relays.fab("karafka.restart")
        # Then it is refused, naming who is at it and why
        assert second.returncode == 10, second.stderr
        assert f"pid {first.process.pid} has the lease, for 'restart'" in second.stderr
        assert "--lock-wait" in second.stderr
        assert relays.pids() == before
        # And one that is told to wait does
        with relays.operator("karafka.restart", "--hosts", "host2", "--lock-wait", "120") as third:
            third.until("waiting for the lease: ")
            assert f"pid {first.process.pid} has the lease" in third.err
            # When the first one is asked to end, TERM being all that one in a script's background hears
            first.process.send_signal(number)
            first.until("interrupted: finishing what has begun on host1")
            relays.go_on("host1")
            # Then the first host is finished, the second is not begun, and it says so
            assert first.end() == 130, first.err
            assert "host1 karafka-0: ready" in first.err
            assert "host2: not attempted: interrupted" in first.out
            # And the one that waits begins at once, and does its work
            assert third.end() == 0, third.err
    assert "host2 karafka-0" not in first.err
    assert "host1 karafka-0" not in third.err
    assert changed(before, relays.pids()) == relays.slots


def test_the_lease_of_an_operator_that_was_killed_is_broken_by_unlock(relays: Relays) -> None:
    # Given an operator that was killed in the middle of a rollout
    before = relays.pids()
    relays.hang("host1")
    with relays.operator("karafka.restart") as operator:
        relays.until_hanging("host1")
        operator.process.kill()
    relays.go_on("host1")
    # Then its lease keeps others off, naming the dead, and is not broken where nobody can be asked whether it may
    refused = relays.fab("karafka.restart")
    assert refused.returncode == 10, refused.stderr
    assert f"pid {operator.process.pid} has the lease" in refused.stderr
    asked = relays.fab("karafka.unlock")
    assert asked.returncode == 2, asked.stderr
    assert "add --yes" in asked.stderr
    # And the host finishes alone, and no other is touched
    assert Deadline(PATIENCE).poll(lambda: changed(before, relays.pids()) == ["host1 karafka-0"])
    # When it is broken with a word for it
    broken = relays.fab("karafka.unlock", "--yes", "--reason", "its operator is dead")
    # Then the next command that takes the lease works, which finds all processes at work
    assert broken.returncode == 0, broken.stderr
    assert broken.stdout.strip() == "broken"
    between = relays.pids()
    done = relays.fab("karafka.start")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("already running") == 2
    assert relays.pids() == between


@pytest.mark.soak
def test_what_is_outdated_finishes_the_rollout_of_an_operator_that_was_killed(relays: Relays) -> None:
    # Given an operator that is killed while the first host's replacement is on its way, under traffic
    before = relays.pids()
    with relays.traffic(20) as sent:
        relays.until_busy(5)
        relays.release("next")
        relays.hang("host1")
        with relays.operator("karafka.restart") as operator:
            relays.until_hanging("host1")
            operator.process.kill()
        assert relays.fab("karafka.unlock", "--yes", "--reason", "its operator is dead").returncode == 0
        # Then what a replacement of the next release is about to take over is due wherever current leads
        relays.release("good")
        planned = relays.fab("karafka.restart", "--outdated", "--dry-run").stdout
        assert re.search(r"outdated: host1 karafka-0: process \d+ is to replace it\n", planned), planned
        assert "left alone: 1 process runs what current leads to" in planned
        relays.release("next")
        # When what is outdated is restarted, while that replacement is not through
        with relays.operator("karafka.restart", "--outdated") as second:
            second.until("preflight passed: ")
            assert "outdated: host1 karafka-0, host2 karafka-0: runs release good, current is next\n" in second.err
            relays.go_on("host1")
            # Then the fleet is complete
            assert second.end() == 0, second.err
        after = relays.pids()
        assert set(relays.releases().values()) == {"next"}
        # And what the first one had begun is waited for, and not restarted once more
        assert "host1 karafka-0: already on release next" in second.err, second.err
        # And there is nothing more to do
        again = relays.fab("karafka.restart", "--outdated")
        assert "nothing is outdated: 2 processes run what current leads to" in again.stderr
        assert relays.pids() == after
        # And back: everything ran it, so everything is restarted
        relays.release("good")
        assert relays.fab("karafka.restart", "--outdated").returncode == 0
    assert changed(before, after) == relays.slots
    assert changed(after, relays.pids()) == relays.slots
    tally = relays.tally(sent)
    assert tally.exact, str(tally)


def test_an_operator_that_wakes_up_after_its_lease_was_broken_does_nothing(relays: Relays) -> None:
    # Given an operator that freezes while its first host is at work, which finishes alone
    before = relays.pids()
    relays.hang("host1")
    with relays.operator("karafka.restart") as frozen:
        relays.until_hanging("host1")
        frozen.process.send_signal(signal.SIGSTOP)
        relays.go_on("host1")
        assert Deadline(PATIENCE).poll(lambda: changed(before, relays.pids()) == ["host1 karafka-0"])
        # And somebody who breaks its lease and restarts the host that it has not come to
        assert relays.fab("karafka.unlock", "--yes", "--reason", "it sleeps").returncode == 0
        done = relays.fab("karafka.restart", "--hosts", "host2")
        assert done.returncode == 0, done.stderr
        pids = relays.pids()
        # When it wakes up
        frozen.process.send_signal(signal.SIGCONT)
        # Then it ends without having touched anything more, and says that it lost the lease
        assert frozen.end() == 10, frozen.err
    assert "lease" in frozen.err
    assert "host2 karafka-0: spawned" not in frozen.err
    assert relays.pids() == pids


def test_what_a_rollout_did_is_told_at_its_end_and_kept(relays: Relays, tmp_path: Path) -> None:
    # Given a fleet under traffic
    with relays.traffic(20) as sent:
        relays.until_busy(5)
        # When it is restarted
        done = relays.fab("karafka.restart", "--json")
    assert done.returncode == 0, done.stderr
    # Then what it prints has the evidence: nobody rebalanced, and how long each partition stood still is known
    evidence = json.loads(done.stdout)["evidence"]
    assert evidence["summary"]["rebalances"] == 0
    assert evidence["summary"]["longest_stall_seconds"] > 0
    assert len(evidence["partitions"]) == 4
    assert all(one["stalls"] and one["stalls"][0]["seconds"] > 0 for one in evidence["partitions"])
    assert [(slot["host"], slot["ok"], slot["warm"]) for slot in evidence["slots"]] == [
        ("host1", True, True),
        ("host2", True, True),
    ]
    # And no message was lost or repeated
    tally = relays.tally(sent)
    assert tally.exact, str(tally)
    # And the history lists it first
    name = evidence["summary"]["name"]
    listed = relays.fab("karafka.history")
    assert listed.returncode == 0, listed.stderr
    assert name in listed.stdout
    rollouts = json.loads(relays.fab("karafka.history", "--json").stdout)["rollouts"]
    assert rollouts[0]["name"] == name
    # And it can be had in full, with its picture
    picture = tmp_path / "rollout.svg"
    last = relays.fab("karafka.history", "--rollout", "last", "--picture", str(picture), "--json")
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout) == evidence
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_the_operators_own_machine_asks_the_cluster_where_the_settings_say_so(relays: Relays, tmp_path: Path) -> None:
    # Given hosts whose tool cannot ask the cluster
    mute = tmp_path / "python"
    mute.write_text(f'#!/bin/sh\ncase "$*" in *ops.kafka*) exit 9;; esac\nexec {sys.executable} "$@"\n')
    mute.chmod(0o755)
    before = relays.pids()
    try:
        # When a host is to ask it
        relays.settings(agent_python=str(mute))
        refused = relays.fab("karafka.restart")
        # Then nothing is known of the group, and nothing is touched
        assert refused.returncode == 11, refused.stderr
        assert relays.pids() == before
        # When the operator's machine is to ask it
        relays.settings(agent_python=str(mute), kafka={"brokers": [relays.bootstrap], "observe_from": "operator"})
        done = relays.fab("karafka.restart", "--hosts", "host2")
        lag, status = relays.fab("karafka.lag"), relays.fab("karafka.status")
    finally:
        relays.settings()
    # Then preflight and gates pass, and lag and status tell of the group
    assert done.returncode == 0, done.stderr
    assert "the gate after batch 1 passed" in done.stderr
    assert changed(before, relays.pids()) == ["host2 karafka-0"]
    assert (lag.returncode, status.returncode) == (0, 0), lag.stderr + status.stderr
    assert f"{relays.name}-in" in lag.stdout
