"""What breaks in the middle of `fab karafka.restart`: the broker, or the way to the host that is at work."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.kafka import EmbeddedKafka
from tests.labs.relays import MakeRelays, Relays

PATIENCE = 90.0
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[EmbeddedKafka]:
    """A broker of this module's own, to be restarted."""
    made = EmbeddedKafka(tmp_path_factory.mktemp("broker"))
    made.start()
    guard(made.directory, run_owner)
    yield made
    gc.collect()
    end_all(made.directory, timeout_seconds=0)


@pytest.fixture(scope="module")
def relays(relays_of: MakeRelays, broker: EmbeddedKafka) -> Relays:
    """Two hosts with one process each."""
    return relays_of(broker, "relay")


def changed(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Return the processes that are others than before."""
    return [name for name in before if before[name] != after[name]]


@pytest.mark.parametrize("again", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_a_broker_that_is_restarted_in_the_middle_holds_a_rollout_up_and_costs_nothing(
    relays: Relays, broker: EmbeddedKafka, again: bool
) -> None:
    # Given a fleet under traffic; an old process has time enough to commit before it hands over
    relays.settings({"settle_seconds": 4}, stop_timeout_seconds=40)
    before = relays.start()
    with relays.traffic(10) as sent:
        relays.until_busy(5)
        # And a rollout whose first host is at work
        relays.hang("host1")
        with relays.operator("karafka.restart") as operator:
            relays.until_hanging("host1")
            relays.go_on("host1")
            # When the broker is restarted while it hands over, or again as soon as the second host is ready, too
            broker.restart()
            assert "host2" not in operator.err
            operator.until("host2 karafka-0: ready")
            if again:
                broker.restart()
            # Then the rollout goes on and finishes
            assert operator.end() == 0, operator.err
    assert changed(before, relays.pids()) == relays.slots
    # And no message was lost or repeated
    tally = relays.tally(sent)
    assert tally.exact, str(tally)


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.soak)])
def test_a_host_whose_ssh_dies_in_the_middle_finishes_alone_and_is_healed_by_a_second_restart(
    relays: Relays, number: int
) -> None:
    # Given a fleet under traffic, and a rollout in the middle of a host's handover: of the one that keeps the stage's
    # lease, or of another
    relays.settings()
    before = relays.start()
    host = relays.hosts[number]
    relays.hang(host.name)
    with relays.traffic(10) as sent:
        with relays.operator("karafka.restart") as operator:
            relays.until_hanging(host.name)
            # When that host's SSH server and all its connections die
            host.stop()
            relays.go_on(host.name)
            # Then the command stops there, and says which host broke off and which one was not begun
            assert operator.end() == 1, operator.err
        assert f"{host.name}: the agent gave no answer (the connection broke" in operator.err
        assert ("host2: not attempted" in operator.out) == (number == 0)
        # And the host finishes alone
        assert Deadline(PATIENCE).poll(lambda: changed(before, relays.pids()) == relays.slots[: number + 1], every=0.1)
        # And status says of the other one what it is, of this one that nobody knows, until its server is back
        expected = ["unknown" if one is host else "running" for one in relays.hosts]
        assert [one["state"] for one in relays.states().values()] == expected
        host.start()
        assert Deadline(PATIENCE).poll(
            lambda: {one["state"] for one in relays.states().values()} == {"running"}, every=0.2
        )
        # And a second restart heals whatever is to be healed, once a lease that could not be given back is broken
        between = relays.pids()
        assert ("the lease could not be given back" in operator.err) == (number == 0)
        if number == 0:
            assert relays.fab("karafka.unlock", "--yes", "--reason", "its host was away").returncode == 0
        again = relays.fab("karafka.restart")
        assert again.returncode == 0, again.stderr
    assert changed(between, relays.pids()) == relays.slots
    tally = relays.tally(sent)
    assert tally.exact, str(tally)
