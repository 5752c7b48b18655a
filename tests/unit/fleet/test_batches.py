"""Batches of a rolling restart: numbers, percentages, lists, the canary."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.errors import SettingsError
from ops.core.protocol import Verb
from ops.core.section import from_environment, load
from ops.fleet.batches import batch_sizes
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import make_plan


@pytest.mark.parametrize(
    ("batch", "canary", "hosts", "sizes"),
    [
        (1, 1, 3, (1, 1, 1)),
        (2, 0, 5, (2, 2, 1)),
        (2, 1, 5, (1, 2, 2)),
        ("50%", 0, 7, (3, 3, 1)),
        ("1%", 0, 2, (1, 1)),
        ("100%", 0, 4, (4,)),
        ("100%", 1, 4, (1, 3)),
        (["1", 5, "20%"], 1, 30, (1, 5, 6, 6, 6, 6)),
        ([4, "50%"], 2, 10, (2, 4, 4)),
        (9, 3, 2, (2,)),
    ],
)
def test_hosts_are_divided_as_the_settings_say(batch: Any, canary: int, hosts: int, sizes: tuple[int, ...]) -> None:
    # When hosts are divided
    # Then the canary comes first, percentages are of all of them, and the last size of a list repeats
    assert batch_sizes(batch, canary, hosts) == sizes


SIZES = st.integers(1, 50) | st.integers(1, 100).map("{}%".format)


@given(SIZES | st.lists(SIZES, min_size=1, max_size=4), st.integers(0, 9), st.integers(1, 200))
def test_every_host_has_its_turn_once(batch: Any, canary: int, hosts: int) -> None:
    # When any number of hosts is divided in any way
    sizes = batch_sizes(batch, canary, hosts)
    # Then none is left out and none comes twice, and the first batch is no larger than the canary
    assert sum(sizes) == hosts
    assert min(sizes) > 0
    assert not canary or sizes[0] <= canary


def section(**rollout: Any) -> dict[str, Any]:
    hosts = [{"host": f"web{number}"} for number in range(1, 6)]
    base = {"application": "a", "deploy_to": "/srv/a", "command": "run", "rollout": rollout}
    return {**base, "stages": {"test": {"hosts": hosts}}}


def test_a_restart_of_some_hosts_takes_its_percentage_of_those() -> None:
    # Given batches of half the hosts
    settings = load(section(batch="50%", canary=0))
    # When four of five are restarted
    chosen = select(settings, Selection.parse("web1,web2,web3,web5"))
    plan = make_plan(settings, chosen, Verb.RESTART)
    # Then half of the four makes a batch
    names = [[action.target.name for action in batch] for batch in plan.batches]
    assert names == [["web1", "web2"], ["web3", "web5"]]


@pytest.mark.parametrize("batch", [0, "0%", "101%", "five", [], [1, "x"], -1, 1.5])
def test_a_batch_that_is_none_is_refused_by_key_path(batch: Any) -> None:
    # When the settings name no batch
    with pytest.raises(SettingsError) as caught:
        load(section(batch=batch))
    # Then the key is named
    assert "karafka.rollout.batch" in str(caught.value)


def test_the_environment_gives_a_single_batch() -> None:
    # When a number or percentage comes from the environment
    found = [from_environment({"FABRIC_KARAFKA_ROLLOUT_BATCH": text})["rollout"]["batch"] for text in ("25%", "3")]
    # Then it is the same as in the file
    assert [batch_sizes(one, 0, 8) for one in found] == [(2, 2, 2, 2), (3, 3, 2)]
    # And anything else is refused by the variable's name
    with pytest.raises(SettingsError) as caught:
        from_environment({"FABRIC_KARAFKA_ROLLOUT_BATCH": "1,5"})
    assert "FABRIC_KARAFKA_ROLLOUT_BATCH" in str(caught.value)
