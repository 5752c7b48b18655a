"""What asks a command to end, and what a command was started to ignore."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from ops.core.interrupts import ASKS, asked_once, handling, interrupt


@pytest.fixture(autouse=True)
def _default_signals() -> Iterator[None]:
    """Signals as a command in the foreground has them, however this run was started."""
    before = {number: signal.getsignal(number) for number in ASKS}
    for number in ASKS:
        signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ASKS)
def test_each_of_them_is_heard_and_as_before_afterwards(number: signal.Signals) -> None:
    # Given a command that hears what asks it to end
    heard: list[int] = []
    before = signal.getsignal(number)

    def hear(which: int, _: FrameType | None) -> None:
        heard.append(which)

    # When it is asked
    with handling(hear):
        signal.raise_signal(number)
    # Then it was told, and the signal does what it did before
    assert heard == [number]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", ASKS)
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    # Given a command that was started to ignore a signal
    signal.signal(number, signal.SIG_IGN)
    # When it is sent where all are heard
    with handling(interrupt):
        signal.raise_signal(number)
        # Then nothing happens, and its children will ignore it, too
        assert signal.getsignal(number) is signal.SIG_IGN
    assert signal.getsignal(number) is signal.SIG_IGN


def test_term_interrupts_also_where_ctrl_c_is_ignored() -> None:
    # Given a command in a script's background
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # When TERM comes, then it ends as by Ctrl-C
    with handling(interrupt), pytest.raises(KeyboardInterrupt, match="SIGTERM"):
        signal.raise_signal(signal.SIGTERM)


def test_another_thread_than_the_main_one_changes_nothing() -> None:
    # Given how signals are handled
    before = [signal.getsignal(number) for number in ASKS]
    seen: list[object] = []

    def other() -> None:
        with handling(interrupt):
            seen.extend(signal.getsignal(number) for number in ASKS)

    # When another thread would handle them
    thread = threading.Thread(target=other)
    thread.start()
    thread.join(10)
    # Then they are as they were
    assert seen == before


def test_what_is_to_be_finished_here_is_asked_to_end_once_and_never_by_its_terminal() -> None:
    # Given a command between a stop and a start
    interrupted = 0
    before = [signal.getsignal(number) for number in ASKS]
    with asked_once():
        # When its terminal goes, and it is asked to end again and again
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                interrupted += 1
    # Then it was told once
    assert interrupted == 1
    assert [signal.getsignal(number) for number in ASKS] == before
