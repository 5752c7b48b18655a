from __future__ import annotations

from pathlib import Path

from bench.jobs import Outcome, outcome


def test_overlaps_and_inversions_are_counted_from_the_notes(tmp_path: Path) -> None:
    # Given jobs of two resources: r1's second began before its first had ended, r2's came in the wrong order
    notes = tmp_path / "notes"
    notes.write_text("r1 0 1.0 3.0\nr1 1 2.0 2.5\nr2 3 1.0 1.5\nr2 2 4.0 5.0\n")
    # Then each is counted once
    assert outcome(notes) == Outcome(done=4, seconds=4.0, overlaps=1, inversions=1)
    # And what is committed later ends later
    assert outcome(notes, committed=7.0).seconds == 6.0


def test_a_run_that_did_nothing_is_infinitely_slow(tmp_path: Path) -> None:
    assert outcome(tmp_path / "none") == Outcome(0, float("inf"), 0, 0)
