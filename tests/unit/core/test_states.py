"""States, and the exit code of many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.errors import ExitCode
from ops.core.states import ALIVE, FAILED, State, exit_code_of_states

STATES = st.sampled_from(list(State))
WORST_FIRST = [ExitCode.UNREACHABLE, ExitCode.FAILED, ExitCode.STOPPED, ExitCode.DONE]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (State.RUNNING, 0),
        (State.DEAD, 1),
        (State.CRASH_LOOPING, 1),
        (State.STOPPED, 3),
        (State.STARTING, 3),
        (State.STOPPING, 3),
        (State.STANDBY, 3),
        (State.UNKNOWN, 4),
    ],
)
def test_one_process_has_the_code_of_its_state(state: State, code: int) -> None:
    # Given one process, then the code is the LSB's
    assert exit_code_of_states([state]) == code


@given(st.lists(STATES, min_size=1))
def test_many_processes_have_the_code_of_the_worst(states: list[State]) -> None:
    # Given any states
    codes = [exit_code_of_states([state]) for state in states]
    # Then the code is the worst one's, whatever the order
    assert exit_code_of_states(states) is min(codes, key=WORST_FIRST.index)
    assert exit_code_of_states(reversed(states)) is exit_code_of_states(states)


def test_nothing_is_both_alive_and_failed() -> None:
    # Given the named sets, then they are apart
    assert not ALIVE & FAILED
