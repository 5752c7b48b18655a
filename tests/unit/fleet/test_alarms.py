"""Calls at a time to come: those that are due are made, those that are taken back are not."""

from __future__ import annotations

import queue
import threading

from ops.fleet.transport.alarms import Alarms

_SECONDS = 10.0


def test_calls_are_made_in_the_order_of_their_times_whenever_they_were_asked_for() -> None:
    # Given three calls, the last one asked for being the first one due
    alarms, made = Alarms(), queue.SimpleQueue[str]()
    alarms.after(0.3, lambda: made.put("late"))
    alarms.after(0.15, lambda: made.put("middle"))
    alarms.after(0.01, lambda: made.put("early"))
    # Then each is made at its time
    assert [made.get(timeout=_SECONDS) for _ in range(3)] == ["early", "middle", "late"]


def test_a_call_that_was_taken_back_is_not_made() -> None:
    # Given two calls, and that the first one is taken back
    alarms, made = Alarms(), queue.SimpleQueue[str]()
    alarms.after(0.05, lambda: made.put("taken back")).cancel()
    alarms.after(0.1, lambda: made.put("due"))
    # Then the other one is made alone
    assert made.get(timeout=_SECONDS) == "due"
    assert made.empty()


def test_a_call_that_takes_its_time_keeps_no_other_one_from_being_made() -> None:
    # Given a call that waits, and one after it
    alarms, made, go_on = Alarms(), queue.SimpleQueue[str](), threading.Event()
    alarms.after(0.01, lambda: made.put(str(go_on.wait(_SECONDS))))
    alarms.after(0.02, lambda: made.put("after it"))
    # Then that one is made meanwhile
    assert made.get(timeout=_SECONDS) == "after it"
    go_on.set()
    assert made.get(timeout=_SECONDS) == "True"


def test_calls_are_made_also_after_there_was_none_for_a_while() -> None:
    # Given that all calls have been made
    alarms, made = Alarms(), queue.SimpleQueue[int]()
    for number in range(3):
        # When another one is asked for
        alarms.after(0.01, lambda number=number: made.put(number))  # type: ignore[misc]
        # Then it is made, too
        assert made.get(timeout=_SECONDS) == number


def test_many_calls_to_come_take_one_thread() -> None:
    # Given many calls to come
    alarms, before = Alarms(), threading.active_count()
    waiting = [alarms.after(60 + number, threading.Event().set) for number in range(100)]
    # Then one thread waits for them
    assert threading.active_count() <= before + 1
    for one in waiting:
        one.cancel()
