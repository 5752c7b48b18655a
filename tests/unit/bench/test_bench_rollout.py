from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import recipe, rollout
from bench.report import Report
from bench.rollout_lab import ALL, RECIPE, ROLLING, STRATEGIES, WARM
from bench.rollout_measure import Outcome
from bench.stalls import Gap, Stalls, gaps, lost_and_repeated
from ops.core.deadline import Deadline


def outcome(strategy: str, stall: float, *, undisturbed: float = 0.05, seconds: float = 10.0, **more: int) -> Outcome:
    counts = {"lost": 0, "repeated": 0, "rebalances": 0} | more
    return Outcome(
        strategy=strategy,
        command_seconds=seconds,
        window_seconds=seconds + 2,
        quiet_seconds=12.0,
        stalls=Stalls(undisturbed, stall, 0.0),
        sent=600,
        timings=({"standby": stall * 10, "drain": stall},),
        **counts,
    )


def one_round(warm: float = 0.1, *, undisturbed: float = 0.05, seconds: float = 10.0, **more: int) -> list[Outcome]:
    return [
        outcome(RECIPE.name, 8.0),
        outcome(ALL.name, 2.0),
        outcome(ROLLING.name, 1.0),
        outcome(WARM.name, warm, undisturbed=undisturbed, seconds=seconds, **more),
    ]


def verdicts(rounds: list[list[Outcome]]) -> list[tuple[float, bool]]:
    report = Report("rollout")
    rollout.judge(report, rounds)
    return [(one["measured"], one["holds"]) for one in report.claims]


def test_gaps_are_those_of_one_partition_whatever_the_order_its_records_came_in() -> None:
    # Given records of two partitions, two of them processed at the same time
    found = gaps({0: [3.0, 1.0, 1.0, 2.5], 1: [1.2, 9.2], 2: [5.0]})
    # Then each partition has its own gaps, and one with a single record has none
    assert found == [Gap(0, 1.0, 2.5), Gap(0, 2.5, 3.0), Gap(1, 1.2, 9.2)]


def test_a_gap_that_the_command_fell_into_is_its_own_and_earlier_ones_are_undisturbed() -> None:
    # Given gaps in the warm-up, in the quiet time, around the start of the command, and after it
    found = [Gap(0, 0.0, 5.0), Gap(0, 10.0, 10.2), Gap(1, 10.1, 10.4), Gap(1, 19.9, 20.8), Gap(2, 25.0, 25.5)]
    # When the quiet time began at 10 and the command at 20
    stalls = Stalls.of([*found, Gap(2, 26.0, 26.7)], quiet_from=10.0, command_at=20.0)
    # Then the limit is twice the longest undisturbed one, and what is longer than that is a stall in full
    assert stalls.undisturbed_seconds == pytest.approx(0.3)
    assert stalls.limit_seconds == pytest.approx(0.6)
    assert stalls.longest_seconds == pytest.approx(0.9)
    assert stalls.partition_seconds == pytest.approx(0.9 + 0.7)


def test_without_any_disturbance_a_gap_below_the_least_stall_is_none() -> None:
    # Given gaps of 0.05 s before and 0.14 s after the command
    stalls = Stalls.of([Gap(0, 1.0, 1.05), Gap(0, 2.0, 2.14)], quiet_from=0.0, command_at=1.5)
    # Then nothing stalled
    assert (stalls.limit_seconds, stalls.partition_seconds) == (0.15, 0.0)


def test_lost_and_repeated_messages_are_counted_one_by_one() -> None:
    # Given six messages, of which 2 and 5 were never answered, 3 twice and 4 three times
    # Then two are lost and three answers are too many
    assert lost_and_repeated(6, [4, 0, 1, 3, 3, 4, 4]) == (2, 3)
    assert lost_and_repeated(3, [2, 1, 0]) == (0, 0)
    assert lost_and_repeated(2, []) == (2, 0)


def test_the_median_of_the_rounds_counts_and_ratios_are_of_one_round() -> None:
    # Given three rounds, one of them on a machine that others disturbed
    rounds = [one_round(0.1), one_round(0.9, undisturbed=0.4, seconds=30.0), one_round(0.12, seconds=10.5)]
    # When they are judged
    # Then one bad round does not decide, and every claim has its bound
    assert verdicts(rounds) == [(0.8, True), (0.06, True), (0, True), (0, True), (0, True), (1.05, True)]


@pytest.mark.parametrize("what", ["lost", "repeated", "rebalances"])
def test_what_must_not_be_must_not_be_in_any_round(what: str) -> None:
    # Given three rounds, one of them with a single message or rebalance too many
    found = verdicts([one_round(), one_round(**{what: 1}), one_round()])
    # Then the claim about it fails, and that one alone
    assert [holds for _, holds in found].count(False) == 1
    assert (1, False) in found


def test_a_stall_that_is_too_long_and_a_command_that_takes_too_long_fail_their_claims() -> None:
    # Given warm rollouts as slow as others, on a quiet machine
    found = verdicts([one_round(0.31, seconds=11.2)] * 3)
    # Then the stall fails both of its claims, the duration its own
    assert [holds for _, holds in found] == [False, False, True, True, True, False]


def test_the_table_has_a_row_for_each_strategy_with_medians_and_sums() -> None:
    # Given two rounds
    report = Report("rollout")
    rollout.show(report, [one_round(0.1, repeated=1), one_round(0.3, repeated=2)])
    # Then the last row is the warm one's
    assert [row["strategy"] for row in report.rows] == [one.name for one in STRATEGIES]
    warm = report.rows[-1]
    assert (warm["stall_s"], warm["undisturbed_s"], warm["repeated"], warm["command_s"]) == (0.2, 0.05, 3, 10.0)
    assert warm["slot_s"] == {"standby": 2.0, "drain": 0.2}


def test_the_recipes_pidfile_is_there_for_as_long_as_its_process_lives(tmp_path: Path) -> None:
    # Given a process started as the recipe starts one, which ends at INT
    pidfile, log = tmp_path / "a b.pid", tmp_path / "log"
    script = (
        "import signal, sys, threading\n"
        "end = threading.Event()\n"
        "signal.signal(signal.SIGINT, lambda *_: end.set())\n"
        "print('up', flush=True)\n"
        "end.wait(60)\n"
    )
    line = recipe.start_line([sys.executable, "-c", script], {"COLOUR": "light red"}, str(pidfile), str(log))
    subprocess.run(["/bin/sh", "-c", line], check=True, timeout=20)
    assert Deadline(20).poll(lambda: log.exists() and "up" in log.read_text())
    pid = int(pidfile.read_text())
    assert b"COLOUR=light red" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    # When it is told to end as the recipe tells it
    subprocess.run(["/bin/sh", "-c", f"kill -INT $(cat '{pidfile}')"], check=True, timeout=20)
    # Then its pidfile goes with it
    assert Deadline(20).poll(lambda: not pidfile.exists())
    assert not Path(f"/proc/{pid}").exists()


def test_a_fleet_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a recipe without patience, and hosts whose pidfile stays
    monkeypatch.setattr(recipe, "LIMIT_SECONDS", -1)

    class Stuck:
        def run(self, _command: str, *, hide: bool) -> dict[str, subprocess.CompletedProcess[str]]:
            assert hide
            return {"host1": subprocess.CompletedProcess([], 0, stdout="karafka-0.pid\n")}

    # When it stops them
    began = time.monotonic()
    with pytest.raises(SystemExit, match="had not ended"):
        recipe.stop(Stuck(), ["karafka-0.pid"])  # type: ignore[arg-type]
    # Then it says so at once
    assert time.monotonic() - began < 5
