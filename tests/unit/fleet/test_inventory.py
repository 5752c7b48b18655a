"""Selections: which hosts and slots a command is for."""

from __future__ import annotations

from typing import Any

import pytest

from ops.core.errors import UsageError
from ops.core.section import load
from ops.core.settings import Settings
from ops.core.slot import Slot
from ops.fleet.inventory import Selection, select


def settings(**more: Any) -> Settings:
    hosts = [
        {"host": "web1"},
        {"host": "web2", "roles": ["karafka", "big"]},
        {"host": "db1", "roles": ["database"]},
    ]
    section: dict[str, Any] = {
        "application": "a",
        "deploy_to": "/srv/a",
        "command": "run",
        "processes": 2,
        "roles": {"big": {"processes": 1}},
    }
    return load({**section, **more, "stages": {"test": {"hosts": hosts}}})


def chosen(hosts: str | None = None, roles: str | None = None, processes: str | None = None) -> dict[str, list[str]]:
    places = select(settings(), Selection.parse(hosts, roles, processes))
    return {place.host.host: [str(slot) for slot in place.slots] for place in places}


def test_without_options_all_hosts_that_run_processes_are_chosen() -> None:
    # When nothing is named
    # Then hosts without a role that runs processes are left out
    assert chosen() == {"web1": ["karafka-0", "karafka-1"], "web2": ["karafka-0", "karafka-1", "big-0"]}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hosts": "web1"}, {"web1": ["karafka-0", "karafka-1"]}),
        ({"hosts": " web2 , web1 "}, {"web1": ["karafka-0", "karafka-1"], "web2": ["karafka-0", "karafka-1", "big-0"]}),
        ({"roles": "big"}, {"web2": ["big-0"]}),
        ({"processes": "karafka-1"}, {"web1": ["karafka-1"], "web2": ["karafka-1"]}),
        ({"processes": "karafka-1,big-0"}, {"web1": ["karafka-1"], "web2": ["karafka-1", "big-0"]}),
        ({"hosts": "web2", "roles": "karafka", "processes": "karafka-0"}, {"web2": ["karafka-0"]}),
    ],
)
def test_options_cut_the_stage_down(options: dict[str, str], expected: dict[str, list[str]]) -> None:
    # When options name hosts, roles, processes
    # Then what all of them name is left, in the settings' order
    assert chosen(**options) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hosts": "web9"}, ["--hosts", "'web9'", "web1, web2, db1"]),
        ({"roles": "small"}, ["--roles", "'small'", "karafka, big"]),
        ({"processes": "karafka-7"}, ["--processes", "'karafka-7'", "karafka-0, karafka-1, big-0"]),
        ({"hosts": "web1", "processes": "big-0"}, ["--processes", "'big-0'", "karafka-0, karafka-1"]),
        ({"processes": "karafka"}, ["'karafka'", "karafka-0"]),
        ({"hosts": ""}, ["--hosts", "names"]),
        ({"hosts": " , "}, ["--hosts", "names"]),
        ({"hosts": "db1"}, ["no process is left"]),
        ({"hosts": "web1", "roles": "big"}, ["no process is left"]),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(options: dict[str, str], words: list[str]) -> None:
    # When an option names what the stage does not have
    with pytest.raises(UsageError) as caught:
        chosen(**options)
    # Then the text names it and what there is
    for word in words:
        assert word in str(caught.value)


def test_workers_are_slots_of_their_own_beside_the_processes() -> None:
    # Given workers beside the processes, and none on the hosts of one role
    made = settings(workers=2, command="run server", roles={"big": {"processes": 1, "workers": 1}})
    # Then they follow their role's processes, and are chosen by a role of their own
    found = {place.host.host: [str(slot) for slot in place.slots] for place in select(made, Selection())}
    assert found["web1"] == ["karafka-0", "karafka-1", "worker-0", "worker-1"]
    assert found["web2"] == ["karafka-0", "karafka-1", "worker-0", "worker-1", "big-0", "big-worker-0"]
    (place,) = select(made, Selection.parse(hosts="web2", roles="worker"))
    assert [str(slot) for slot in place.slots] == ["worker-0", "worker-1"]


def test_slots_that_the_settings_lost_are_meant_by_their_role_and_with_whole_hosts() -> None:
    # Given slots that the settings do not have any more
    small, big = Slot("small", 3), Slot("big", 3)
    # Then a command for whole hosts means them, one for a role those of that role, one for processes none
    assert [Selection.parse(hosts="web1").covers(one) for one in (small, big)] == [True, True]
    assert [Selection.parse(roles="big").covers(one) for one in (small, big)] == [False, True]
    assert [Selection.parse(processes="big-0").covers(one) for one in (small, big)] == [False, False]
