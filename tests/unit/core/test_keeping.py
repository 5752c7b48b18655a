"""Names of what keeps processes: no two applications share one, whatever they and their roles are called."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from ops.core.errors import SettingsError
from ops.core.keeping import SUPERVISOR, Keeping
from ops.core.section import load
from ops.core.slot import Slot

NAME = st.text("ab-_.", min_size=1, max_size=5).filter(lambda text: text[0] in "ab_")
SLOT = st.builds(Slot, NAME, st.integers(0, 11))


def names(application: str, slot: Slot) -> list[str]:
    kept = Keeping(SUPERVISOR, application)
    return [kept.unit(str(slot)), kept.program(str(slot))]


def files(application: str) -> list[str]:
    kept = Keeping(SUPERVISOR, application)
    return [kept.template, kept.target, f"{kept.group}.conf", kept.rule]


@given(NAME, NAME, SLOT, SLOT)
@example("sources", "sources-eu", Slot("karafka", 0), Slot("karafka", 0))
@example("a", "a-b", Slot("b-karafka", 0), Slot("karafka", 0))
@example("a.b", "a_b", Slot("karafka", 0), Slot("karafka", 0))
@example("a", "a", Slot("b-1", 0), Slot("b", 10))
def test_two_applications_or_slots_share_no_name(one: str, other: str, mine: Slot, theirs: Slot) -> None:
    assume((one, mine) != (other, theirs))
    # Then units and programs are told apart
    assert not set(names(one, mine)) & set(names(other, theirs))
    # And so are the files of two applications
    if one != other:
        assert not set(files(one)) & set(files(other))


@given(NAME)
@example("sources.bak")
def test_a_rule_is_read_by_sudo_and_logrotate(application: str) -> None:
    # Then sudo does not pass it over (sudoers(5), @includedir), nor does logrotate (logrotate(8), tabooext)
    assert re.search(r"[.~]|,v\Z", Keeping(application=application).rule) is None


def roles(hosts: list[tuple[str, list[str]]], **more: Any) -> dict[str, Any]:
    named = dict.fromkeys(role for _, some in hosts for role in some)
    return {
        "application": "shop",
        "deploy_to": "/srv/shop",
        "command": "ops server",
        "role": list(named),
        "stages": {"test": {"hosts": [{"host": host, "roles": some} for host, some in hosts]}},
        **more,
    }


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (roles([("a", ["b.c"]), ("a.b", ["c"])]), "would be one member of their group"),
        (roles([("a", ["main", "b"]), ("a.b", ["worker"])], roles={"b": {"workers": 1}}), ""),
        (roles([("a", ["b.c"]), ("a.b", ["c", "x"])], workers=1), "would be one member of their group"),
        (roles([("a", ["main", "worker"])], workers=1), "workers have the name 'worker' already"),
        (roles([("a", ["main", "b", "b-worker"])], roles={"b": {"workers": 1}}), "workers have the name 'b-worker'"),
        (roles([("a", ["main", "worker"])]), ""),
        (roles([("a", ["main", "a-0"]), ("b", ["main"])]), ""),
    ],
)
def test_settings_by_which_two_processes_share_a_name_are_refused(section: dict[str, Any], expected: str) -> None:
    if not expected:
        assert load(section).hosts
        return
    with pytest.raises(SettingsError, match=expected):
        load(section)


def test_a_folder_with_a_line_break_is_refused() -> None:
    # Given a deploy_to that would begin a line of its own in every file that names it
    with pytest.raises(SettingsError, match="deploy_to: expected"):
        load(roles([("a", ["main"])], deploy_to="/srv/a\nroot ALL=(ALL) ALL"))
