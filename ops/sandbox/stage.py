"""Where the demo plays: commands are shown, run and, for pictures, recorded with their colours."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

from rich.console import Console
from rich.text import Text

from ops.core.errors import OpsError

COLUMNS = 100


class Stage:
    """Shows and runs commands.

    Parameters
    ----------
    recording : whether what is shown is kept, for `cut`.
    """

    def __init__(self, *, recording: bool = False) -> None:
        self.recording = recording
        self.console = Console(record=recording, width=COLUMNS if recording else None, highlight=False)

    def say(self, text: str) -> None:
        """Say what comes next."""
        self.console.print(f"\n[bold cyan]# {text}")

    def show(self, command: str) -> None:
        """Show a command as it is typed."""
        self.console.print(Text.assemble(("$ ", "bold green"), (command, "bold")), soft_wrap=True)
        self.console.file.flush()

    def run(self, program: str, *arguments: str, within: float, expect: int = 0) -> None:
        """Show and run a command of this environment.

        Parameters
        ----------
        within : seconds it may take.
        expect : the exit code it must end with.

        Raises
        ------
        OpsError : it took longer or ended otherwise.
        """
        self.show(shlex.join([program, *arguments]))
        argv = [_installed(program), *arguments]
        try:
            code = self._recorded(argv, within) if self.recording else self._plain(argv, within)
        except subprocess.TimeoutExpired:
            raise OpsError(
                f"still running after {within:.0f} s; ended", where=shlex.join([program, *arguments])
            ) from None
        if code != expect:
            raise OpsError(f"exited with {code}, expected {expect}", where=shlex.join([program, *arguments]))

    def ask(self, program: str, *arguments: str, within: float) -> str:
        """Run a command unseen and give what it prints; its exit code may be any."""
        return subprocess.run(
            [_installed(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=within,
            text=True,
            check=False,
        ).stdout

    def cut(self) -> str:
        """Return what was shown since the last cut, with its colours as ANSI escapes; empty without recording."""
        return self.console.export_text(styles=True) if self.recording else ""

    def _plain(self, argv: list[str], within: float) -> int:
        """Run on the very terminal or pipe that the demo has."""
        self.console.file.flush()
        return subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=within, check=False).returncode

    def _recorded(self, argv: list[str], within: float) -> int:
        """Run with the colours of a terminal but nothing that moves; show what it wrote once it has ended."""
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "0", "COLUMNS": str(COLUMNS)},
            timeout=within,
            check=False,
            text=True,
        )
        self.console.print(Text.from_ansi(done.stdout.rstrip()))
        return done.returncode


def _installed(program: str) -> str:
    """Give the path of a program of this Python environment."""
    return sys.executable if program == "python" else str(Path(sysconfig.get_path("scripts")) / program)
