"""What a rollout costs under load: `fab karafka.restart` by strategy, and the recipe of capistrano-karafka.

Each is a command over SSH on a fleet of 4 processes on 2 hosts: 12 partitions, 600 numbered messages a second, 40 ms
work a batch. A record is processed when the broker has its answer (LogAppendTime); a stall is the gap between two
processed records of one partition, and beside it stands the longest gap of the same partitions right before the
command. Strategies take turns. Loss and repetition are counted when nothing is left to do. The time of a command is
that of the whole process, start-up of `fab` included.

    python bench/rollout.py [--rounds 3] [--quiet 10] [--manager systemd] [--json] [--allow-missing]

With `--manager` the same four processes are kept by systemd or supervisor, and restarted by its only strategy.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bench.report import Report
from bench.rollout_kept import MANAGERS, kept_lab
from bench.rollout_lab import ALL, ROLLING, STRATEGIES, WARM, Strategy, Watched, running_lab
from bench.rollout_measure import Outcome, measure
from ops.core.errors import OpsError
from ops.sandbox.interrupts import signals_interrupt

OF_ALL_BOUND = 0.1
DURATION_BOUND = 1.1
KEPT_STALL_BOUND = 0.6
LIMIT_SECONDS = 480.0
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def take_turns(rounds: int, quiet_seconds: float, manager: str = "pidfile") -> list[list[Outcome]]:
    """Measure every strategy once a round; no further round begins that would not end in time.

    Parameters
    ----------
    quiet_seconds : how long to look at the undisturbed fleet before each; longer where a strategy took longer.
    manager : who keeps the processes.
    """
    began = time.monotonic()
    with (
        signals_interrupt(),
        tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary,
        _lab(manager, Path(temporary).resolve()) as lab,
    ):
        strategies = strategies_of(manager)
        quiet = dict.fromkeys(strategies, quiet_seconds)
        found: list[list[Outcome]] = []
        expected = 0.0
        while len(found) < rounds and time.monotonic() - began + expected < LIMIT_SECONDS:
            round_began, quiet_before = time.monotonic(), sum(quiet.values())
            turn: list[Outcome] = []
            for strategy in strategies:
                one = measure(lab, strategy, quiet[strategy])
                quiet[strategy] = max(quiet_seconds, one.window_seconds)
                turn.append(one)
                _say(f"round {len(found) + 1}: {_line(one)}")
            found.append(turn)
            expected = time.monotonic() - round_began + sum(quiet.values()) - quiet_before
    if len(found) < rounds:
        _say(f"{len(found)} of {rounds} rounds: another one would not end within {LIMIT_SECONDS:g} s")
    return found


def strategies_of(manager: str) -> tuple[Strategy, ...]:
    """Give the strategies that there are under a manager."""
    return (MANAGERS[manager],) if manager in MANAGERS else STRATEGIES


def _lab(manager: str, directory: Path) -> AbstractContextManager[Watched]:
    return kept_lab(manager, directory, _say) if manager in MANAGERS else running_lab(directory, _say)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _line(one: Outcome) -> str:
    return (
        f"{one.strategy}: {one.command_seconds:.1f} s, longest stall {one.stalls.longest_seconds:.3f} s, "
        f"undisturbed {one.stalls.undisturbed_seconds:.3f} s, lost {one.lost}, repeated {one.repeated}"
    )


def show(report: Report, rounds: Sequence[Sequence[Outcome]], strategies: Sequence[Strategy] = STRATEGIES) -> None:
    """Add a row for each strategy: medians; of what must not be, the sum.

    `stalled_s` are partition-seconds, `slot_s` the phases of one slot as the command tells them.
    """
    for strategy in strategies:
        some = [one for turn in rounds for one in turn if one.strategy == strategy.name]
        report.row(
            strategy=strategy.name,
            rounds=len(some),
            stall_s=median(some, lambda one: one.stalls.longest_seconds),
            undisturbed_s=median(some, lambda one: one.stalls.undisturbed_seconds),
            stalled_s=median(some, lambda one: one.stalls.partition_seconds),
            lost=sum(one.lost for one in some),
            repeated=sum(one.repeated for one in some),
            rebalances=sum(one.rebalances for one in some),
            command_s=median(some, lambda one: one.command_seconds),
            slot_s=timings(some) or None,
        )


def median(some: Sequence[Outcome], value: Callable[[Outcome], float]) -> float:
    """Give the median of a value, in milliseconds' precision."""
    return round(statistics.median(value(one) for one in some), 3)


def timings(some: Sequence[Outcome]) -> dict[str, float]:
    """Give the median of each phase of a handover, of all processes and rounds."""
    phases: dict[str, list[float]] = {}
    for outcome in some:
        for process in outcome.timings:
            for name, seconds in process.items():
                phases.setdefault(name, []).append(seconds)
    return {name: round(statistics.median(values), 3) for name, values in phases.items()}


def judge(report: Report, rounds: Sequence[Sequence[Outcome]]) -> None:
    """Add the claims. A ratio is one of one round, of which the median counts; of what must not be, the sum."""
    by_name = [{one.strategy: one for one in turn} for turn in rounds]
    warm = [turn[WARM.name] for turn in by_name]
    of_limit = statistics.median(one.stalls.longest_seconds / one.stalls.limit_seconds for one in warm)
    of_all = statistics.median(
        turn[WARM.name].stalls.longest_seconds / turn[ALL.name].stalls.longest_seconds for turn in by_name
    )
    duration = statistics.median(
        turn[WARM.name].command_seconds / turn[ROLLING.name].command_seconds for turn in by_name
    )
    _at_most(report, "warm: longest stall / max(0.15 s, 2 x longest undisturbed gap)", of_limit, 1.0)
    _at_most(report, "longest stall, warm / all", of_all, OF_ALL_BOUND)
    _nothing(report, "warm", warm)
    _at_most(report, "whole command, warm / rolling without standby", duration, DURATION_BOUND)


def judge_kept(report: Report, rounds: Sequence[Sequence[Outcome]], manager: str) -> None:
    """Add the claims on a fleet that somebody else keeps: each process is stopped and started, in its own place."""
    some = [one for turn in rounds for one in turn]
    _at_most(
        report, f"{manager}: longest stall, s", median(some, lambda one: one.stalls.longest_seconds), KEPT_STALL_BOUND
    )
    _nothing(report, manager, some)


def _nothing(report: Report, who: str, some: Sequence[Outcome]) -> None:
    """Claim that nothing was lost, repeated or moved."""
    for what, number in (
        ("lost", sum(one.lost for one in some)),
        ("repeated", sum(one.repeated for one in some)),
        ("rebalances", sum(one.rebalances for one in some)),
    ):
        report.claim(f"{who}: {what}", number, "0", number == 0)


def _at_most(report: Report, text: str, measured: float, bound: float) -> None:
    report.claim(text, round(measured, 3), f"<= {bound:g}", measured <= bound)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quiet", type=float, default=10.0, help="seconds of undisturbed load before each rollout")
    parser.add_argument("--manager", choices=("pidfile", *MANAGERS), default="pidfile")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    report = Report("rollout")
    try:
        rounds = take_turns(options.rounds, options.quiet, options.manager)
    except OpsError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: everything that was started has ended", file=sys.stderr)
        return INTERRUPTED
    show(report, rounds, strategies_of(options.manager))
    if options.manager in MANAGERS:
        judge_kept(report, rounds, options.manager)
    else:
        judge(report, rounds)
    return report.finish(options.json, options.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
