"""Other programs of the host: run with a deadline, their output kept, never through a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from ops.core import privileges
from ops.core.amounts import in_seconds
from ops.core.keeping import Keeping

NOT_FOUND = 127  # as a shell has it
TIMED_OUT = 124  # as timeout(1) has it


@dataclass(frozen=True)
class Done:
    """What a program said, and its exit code."""

    code: int
    out: str
    errors: str

    @property
    def why(self) -> str:
        """The last line that it said on standard error, else on standard output; else its exit code."""
        for text in (self.errors, self.out):
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return f"exit code {self.code}"


def run(argv: Sequence[str], seconds: float = 20.0, *, text: str | None = None, as_root: bool = False) -> Done:
    """Run a program; one that is missing or takes too long is an exit code like any other.

    Parameters
    ----------
    text : its standard input.
    as_root : by root, where this agent has given that up.
    """
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    environment["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # a user's own path has them not
    environment.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")  # an SSH session without PAM has none
    rights = privileges.as_root() if as_root else {}
    if as_root:
        environment = privileges.roots_environment(environment)
    try:
        done = subprocess.run(
            argv, input=text or "", capture_output=True, encoding="utf-8", errors="replace", timeout=seconds,
            check=False, env=environment, **rights,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Done(TIMED_OUT, "", f"{argv[0]}: no end after {in_seconds(seconds)}")
    except OSError as error:
        return Done(NOT_FOUND, "", f"{argv[0]}: {error.strerror}")
    return Done(done.returncode, done.stdout, done.stderr)


def asking(kept: Keeping, *words: str) -> tuple[str, ...]:
    """Give the argv of a question to systemd, which needs no `sudo`."""
    return ("systemctl", *(("--user",) if kept.scope == "user" else ()), *words)
