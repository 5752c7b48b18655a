"""What consumers write down of their own progress, and what is read out of it."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.consumer.progress import Progress, ProgressFile
from ops.core.identity import boot_id
from ops.core.progress import Gap, GroupPartition, gaps, path_beside, segments
from ops.core.protocol import ProcessSpec
from ops.core.slot import Slot, SlotFiles
from ops.node.evidence import progress

NOON = 1_800_000_000.0
PARTITION = GroupPartition("group", "topic", 0)


class Time:
    """Both clocks of a host."""

    def __init__(self) -> None:
        self.now = 1000.0

    def recorder(self) -> Progress:
        return Progress(lambda: self.now, lambda: NOON + self.now)

    def produced_ms(self, ago: float = 0.0) -> int:
        return round((NOON + self.now - ago) * 1000)


def answer(*records: tuple[int, Progress], at: float = 0.0) -> dict[str, Any]:
    """Return what a host's agent answers for one slot whose owners, the last one first, recorded this."""
    chain = [
        {"version": 1, "pid": pid, "boot_id": "b", "groups": {"group": json.loads(json.dumps(record.as_json()))}}
        for pid, record in records
    ]
    record = {**chain[0], "before": chain[1:]}
    return {"boot_id": "b", "boot_seconds": at, "wall_seconds": NOON, "processes": {"karafka-0": record}}


def joined(*records: tuple[int, Progress]) -> tuple[Gap, ...]:
    return gaps(segments("h1", answer(*records), 0.0)).get(PARTITION, ())


def test_the_gap_of_a_handover_is_the_new_ones_first_record_less_the_old_ones_last() -> None:
    # Given an old process that finished a record each 0.05 s
    time = Time()
    old, new = time.recorder(), time.recorder()
    for _ in range(10):
        time.now += 0.05
        old.mark("topic", 0, time.produced_ms(0.02))
    last = time.now
    # When a new one finishes its first 0.11 s later, of a record that had come at once
    time.now += 0.11
    new.mark("topic", 0, time.produced_ms(0.1))
    time.now += 0.05
    new.mark("topic", 0, time.produced_ms(0.05))
    # Then that gap is there, between both
    longest = max(joined((2, new), (1, old)), key=lambda gap: gap.waited_seconds)
    assert longest.start == pytest.approx(last, abs=1e-3)
    assert longest.seconds == pytest.approx(0.11, abs=1e-3)
    assert longest.waited_seconds == pytest.approx(0.1, abs=1e-3)


def test_a_topic_without_traffic_does_not_stand_still() -> None:
    # Given a record now and then
    time = Time()
    record = time.recorder()
    for _ in range(4):
        time.now += 60
        record.mark("topic", 0, time.produced_ms(0.01))
    # Then each gap is long, and the wait in it is not
    for gap in joined((1, record)):
        assert gap.seconds == pytest.approx(60)
        assert gap.waited_seconds == pytest.approx(0.01, abs=2e-3)


def test_a_producer_whose_clock_is_ahead_hides_no_stall() -> None:
    # Given records that come from 5 s in the future
    time = Time()
    record = time.recorder()
    for _ in range(5):
        time.now += 0.05
        record.mark("topic", 0, time.produced_ms(-5.0))
    # When one is late
    time.now += 3.0
    record.mark("topic", 0, time.produced_ms(3.0 - 5.0))
    # Then its wait counts in full
    assert max(gap.waited_seconds for gap in joined((1, record))) == pytest.approx(3.0, abs=1e-2)


def test_records_without_a_time_of_their_own_count_as_waiting_all_along() -> None:
    # Given records without a timestamp
    time = Time()
    old, new = time.recorder(), time.recorder()
    for recorder in (old, old, new):
        time.now += 2
        recorder.mark("topic", 0, None)
    # Then each gap counts in full, between two processes as well
    assert [gap.waited_seconds for gap in joined((2, new), (1, old))] == [2, 2]


def test_what_somebody_else_did_meanwhile_is_no_gap() -> None:
    # Given a partition that goes to another host for a while and comes back
    time = Time()
    here, there = time.recorder(), time.recorder()
    for recorder in (here, there, here):
        recorder.assigned()
        for _ in range(5):
            time.now += 0.1
            recorder.mark("topic", 0, time.produced_ms(0.09))
    # When both hosts' records are joined
    found = segments("h1", answer((1, here)), 0.0) + segments("h2", answer((1, there)), 0.0)
    # Then there is no gap above 0.1 s
    assert max(gap.seconds for gap in gaps(found)[PARTITION]) == pytest.approx(0.1, abs=1e-3)


RUNS = st.lists(st.lists(st.floats(0.001, 20), min_size=1, max_size=40), min_size=1, max_size=4)


@settings(deadline=None)
@given(RUNS)
def test_however_records_are_dealt_out_the_longest_gap_is_found(runs: list[list[float]]) -> None:
    # Given the times between records, and which process of a slot finished which
    time = Time()
    times, chain = [], []
    for pid, waits in enumerate(runs):
        recorder = time.recorder()
        for wait in waits:
            time.now += wait
            times.append(time.now)
            recorder.mark("topic", 0, 1)
        chain.insert(0, (pid, recorder))
    true = [after - before for before, after in pairwise(times)]
    # When what they wrote down is joined
    found = joined(*chain)
    # Then the longest gap is among it, where it was, and none that never was
    assert max((gap.seconds for gap in found), default=0.0) == pytest.approx(max(true, default=0.0), abs=3e-4)
    for gap in found:
        assert any(gap.seconds == pytest.approx(one, abs=3e-4) for one in true)


def test_what_is_kept_is_bounded_and_the_latest_is_finest() -> None:
    # Given a day of records
    time = Time()
    record = time.recorder()
    for _ in range(24 * 360):
        time.now += 10
        record.mark("topic", 0, None)
    # Then some forty gaps are kept, of the last half hour
    ((first, last, _, kept),) = record.as_json()["topic"]["0"]
    assert (first, last) == (1010, 1000 + 24 * 3600)
    assert 30 <= len(kept) <= 40
    assert min(start for start, _, _ in kept) >= last - 35 * 60


class Slotted:
    """A slot's files on a host."""

    def __init__(self, shared: Path) -> None:
        slot = Slot("karafka", 0)
        files = SlotFiles.below(str(shared), "tmp/pids/karafka.pid", slot)
        self.spec = ProcessSpec("karafka-0", ("true",), "/", files)
        self.path = path_beside(files.status)
        self.path.parent.mkdir(parents=True)

    def owner(self, marks: int = 3) -> None:
        """Own it for a while."""
        file, record = ProgressFile(self.spec.files.status), Progress()
        for _ in range(marks):
            record.mark("topic", 0, None)
        file.write({"group": record}, last=True)


def test_the_file_goes_from_owner_to_owner_and_keeps_what_the_last_ones_wrote(tmp_path: Path) -> None:
    # Given a slot with four owners after each other
    slot = Slotted(tmp_path)
    for _ in range(4):
        slot.owner()
    # When the agent reads it
    told = progress([slot.spec])
    # Then the last three of them are there
    found = segments("h1", told, 0.0)
    assert [(one.process, one.pid, one.host) for one in found] == [("karafka-0", os.getpid(), "h1")] * 3
    assert len(gaps(found)[PARTITION]) >= 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 99, "before": [], "groups": {}}'])
def test_a_file_that_says_nothing_is_no_reason_to_fail(tmp_path: Path, text: str) -> None:
    # Given a damaged file
    slot = Slotted(tmp_path)
    slot.path.write_text(text)
    # Then the agent answers without it, or with what nobody takes for a record
    assert segments("h1", progress([slot.spec]), 0.0) == ()
    # And the next owner writes its own
    slot.owner()
    assert len(segments("h1", progress([slot.spec]), 0.0)) == 1


def test_records_of_another_boot_are_left_out(tmp_path: Path) -> None:
    # Given a file from before the host was restarted
    slot = Slotted(tmp_path)
    slot.owner()
    slot.path.write_text(slot.path.read_text().replace(boot_id(), "another boot"))
    # Then it says nothing of this one
    assert segments("h1", progress([slot.spec]), 0.0) == ()


def test_a_process_without_a_file_is_left_out(tmp_path: Path) -> None:
    # Given a command that writes none
    assert progress([Slotted(tmp_path).spec])["processes"] == {}


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Given a folder that is not there
    file = ProgressFile(str(tmp_path / "file" / "karafka-0.status"))
    (tmp_path / "file").write_text("")
    # When it is written twice
    for _ in range(2):
        file.write({"group": Progress()}, last=True)
    # Then the log has it once
    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text
