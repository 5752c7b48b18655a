"""What systemd's units and the agent beside them agree on: names, signals, and the commands that need root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from ops.core.keeping import Keeping

RELOAD_SIGNAL: Final = "USR2"  # a consumer drains, and ends by it, to be started anew
HELD_SIGNAL: Final = 7  # SIGRTMIN+7: how a unit's shim ends where another process has the slot, and no command does
COMMAND_VARIABLE: Final = "KARAFKA_COMMAND"  # of a process's env file: one template unit has processes of several kinds
JOURNAL_LINES: Final = 1000  # how many lines are read at most, whatever is shown of them

BINARIES: Final = {"systemctl": "/usr/bin/systemctl", "journalctl": "/usr/bin/journalctl"}


def env_file(kept: Keeping, shared: str, process: str) -> str:
    """Give the env file of a process: of a system unit where root alone writes, for systemd reads it as root."""
    if kept.scope == "system":
        return f"/etc/karafka-ops/{kept.application}/{process}.env"
    return str(PurePosixPath(shared) / "units" / f"{process}.env")


def start(unit: str) -> tuple[str, ...]:
    """Give the command that starts a unit and waits until it is ready."""
    return ("systemctl", "start", unit)


def stop(unit: str) -> tuple[str, ...]:
    """Give the command that stops a unit and waits until it has ended."""
    return ("systemctl", "stop", unit)


def reset(unit: str) -> tuple[str, ...]:
    """Give the command that forgets a unit's failures and its restarts."""
    return ("systemctl", "reset-failed", unit)


def journal(unit: str) -> tuple[str, ...]:
    """Give the command that reads a unit's journal, one JSON object a line."""
    return ("journalctl", "--quiet", "--no-pager", "--output=json", f"--lines={JOURNAL_LINES}", "--unit", unit)


def follow(unit: str) -> tuple[str, ...]:
    """Give the command that reads a unit's journal and goes on with what comes."""
    return (*journal(unit)[:-2], "--follow", "--unit", unit)


def privileged(kept: Keeping, processes: Sequence[str]) -> list[tuple[str, ...]]:
    """Give every command that is called by `sudo -n`, where that is asked for: exact ones, for exact units."""
    commands: list[tuple[str, ...]] = [("systemctl", "daemon-reload")]
    for verb in ("enable", "disable"):
        commands.append(("systemctl", verb, kept.target))
    for unit in map(kept.unit, processes):
        commands += [start(unit), stop(unit), reset(unit), journal(unit), follow(unit)]
        commands += [("systemctl", verb, unit) for verb in ("enable", "disable")]
    return commands
