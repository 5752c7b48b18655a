"""Slots and their files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.errors import UsageError
from ops.core.slot import ROLE, Slot, SlotFiles

ROLES = st.from_regex(ROLE, fullmatch=True).filter(str.isascii)


@given(ROLES, st.integers(0, 10**6))
def test_a_slots_name_reads_back_as_the_slot(role: str, index: int) -> None:
    # Given any slot, roles with dashes and numbers too
    slot = Slot(role, index)
    # Then its name says all of it
    assert Slot.parse(str(slot)) == slot


@pytest.mark.parametrize(
    "text", ["", "karafka", "karafka-", "-0", "karafka-x", "karafka-0 ", "a b-0", "../x-0", "karafka-0\n"]
)
def test_what_is_no_slots_name_is_refused(text: str) -> None:
    # Given a text that is no slot's name, then the error says what one looks like
    with pytest.raises(UsageError, match="karafka-0"):
        Slot.parse(text)


def test_the_files_of_a_slot_lie_below_shared() -> None:
    # Given the role that nobody named, and another one
    own = SlotFiles.below("/srv/app/shared", "tmp/pids/consumer.pid", Slot("karafka", 1))
    big = SlotFiles.below("/srv/app/shared", "tmp/pids/consumer.pid", Slot("karafka_big", 1))
    # Then the first one's pidfile has the setting's name, as in Capistrano, the other its role's
    assert own.pidfile == "/srv/app/shared/tmp/pids/consumer-1.pid"
    assert big.pidfile == "/srv/app/shared/tmp/pids/karafka_big-1.pid"
    # And all else carries the slot's name
    assert own.lock == "/srv/app/shared/tmp/slots/karafka-1.lock"
    assert own.log == "/srv/app/shared/log/karafka-1.log"
    # And no two files of the two are the same
    both = [*vars(own).values(), *vars(big).values()]
    assert len(set(both)) == len(both)


@given(st.lists(st.tuples(ROLES, st.integers(0, 30)), min_size=2, max_size=5, unique=True))
def test_no_two_slots_share_a_file(places: list[tuple[str, int]]) -> None:
    # Given any slots of a host, and a pidfile with a name that no role has
    files = [SlotFiles.below("/s", "tmp/pids/the+pids.pid", Slot(*place)) for place in places]
    # Then each has its own files
    paths = [path for one in files for path in vars(one).values()]
    assert len(set(paths)) == len(paths)


def test_the_instance_id_is_the_same_for_ever() -> None:
    # Given a slot on a host
    assert Slot("karafka", 0).instance_id("sources", "web1") == "sources.web1.karafka.0"
