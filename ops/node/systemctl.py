"""What systemd is told and asked: `systemctl` as a program, its answers as data, its refusals as errors."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.core import privileges
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.keeping import Keeping
from ops.core.systemd import HELD_SIGNAL
from ops.node.ending import exit_text

ASK_SECONDS = 10.0
_KILL_SECONDS = 1.0
_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "Result", "ExecMainCode", "ExecMainStatus",
    "TimeoutStopUSec",
)  # fmt: skip
_EXITED = "1"  # CLD_EXITED, of ExecMainCode
_OWN_CODES = {
    200: "its folder could not be entered",
    203: "the agent's interpreter could not be executed",
    216: "its group could not be taken on",
    217: "there is no such user",
    226: "its view of the file system could not be made: a folder that the unit names is missing",
    228: "its system calls could not be limited",
}
"""What systemd itself exits with before the command runs: systemd.exec(5), "Process Exit Codes"."""


class SystemdError(OpsError):
    """systemd could not be asked, or refused; the text says what to do."""


@dataclass(frozen=True)
class Facts:
    """What systemd says of a unit: `systemctl show`, systemd(1) for the words.

    Attributes
    ----------
    pid : of the main process; 0 for none.
    restarts : by systemd itself, since somebody last started it.
    """

    load: str = ""
    active: str = ""
    sub: str = ""
    pid: int = 0
    restarts: int = 0
    result: str = ""
    code: str = ""
    status: int = 0
    stop_seconds: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether its process is gone and systemd is about to start another one."""
        return self.sub == "auto-restart"

    @property
    def gave_up(self) -> bool:
        """Whether systemd restarted it too often: the result stays the last one's, seen on 252."""
        return self.active == "failed" and (self.restarts > 0 or self.result == "start-limit-hit")

    @property
    def down(self) -> bool:
        """Whether nothing of it runs and nothing is about to."""
        return self.active in ("inactive", "failed")

    @property
    def killed(self) -> bool:
        """Whether systemd lost patience and killed it."""
        return self.result == "timeout" and self.code != _EXITED and self.status == 9

    def ending(self) -> str:
        """Say how its last process ended: `exited with 3`."""
        if self.result == "watchdog":
            return "made no progress: the watchdog ended it"
        if self.result == "resources":
            return "could not be started: its env file or folder is missing"
        if self.code != _EXITED and self.status == signal.SIGRTMIN + HELD_SIGNAL:
            return "found another process in its slot"
        if self.code == _EXITED and self.status in _OWN_CODES:
            return f"could not be started: {_OWN_CODES[self.status]} ({self.status})"
        return exit_text(self.status if self.code == _EXITED else -self.status) if self.code != "0" else "ended"


class Systemctl:
    """Speaks to the systemd that keeps an application's processes.

    Parameters
    ----------
    kept : says whose units they are, and whether by `sudo -n`.
    """

    def __init__(self, kept: Keeping) -> None:
        self.kept = kept
        self._scope = ["--user"] if kept.scope == "user" else []
        self._env = {**os.environ, "LC_ALL": "C.UTF-8"}
        if kept.scope == "user":
            self._env.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")

    def ask(self, units: Sequence[str]) -> subprocess.Popen[str]:
        """Ask how units are, all at once; `answer` waits for it."""
        properties = ",".join(_PROPERTIES)
        argv = ["systemctl", *self._scope, "show", "--no-pager", f"--property={properties}", *units]
        return self._popen(argv)

    def answer(self, asked: subprocess.Popen[str], units: Sequence[str]) -> dict[str, Facts]:
        """Give what was asked, a unit's name each.

        Raises
        ------
        SystemdError : systemd cannot be reached.
        """
        code, out, err = _finish(asked, Deadline(ASK_SECONDS))
        if code != 0:
            raise self._refused(err or f"systemctl show exited with {code}", units[0])
        blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
        return {block["Id"]: _facts(block) for block in blocks if "Id" in block}

    def facts(self, unit: str) -> Facts:
        """Ask how one unit is.

        Raises
        ------
        SystemdError : systemd cannot be reached.
        """
        return self.answer(self.ask([unit]), [unit]).get(unit, Facts())

    def begin(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Begin a command of `ops.core.systemd`, by sudo where that is asked for."""
        return self._popen(self.argv(command), **self.rights())

    def argv(self, command: Sequence[str]) -> list[str]:
        """Give the argv of a command of `ops.core.systemd`."""
        sudo = ["sudo", "-n"] if self.kept.sudo and not privileges.can_be_root() else []
        return [*sudo, command[0], *self._scope, *command[1:]]

    def rights(self) -> dict[str, Any]:
        """Return what `subprocess` needs to let a command be root's, where this agent has given that up."""
        return privileges.as_root() if self.kept.scope == "system" else {}

    def run(self, command: Sequence[str], unit: str, deadline: Deadline) -> str:
        """Carry out a command to its end, and give its output.

        Raises
        ------
        SystemdError : it was refused, or the deadline passed.
        """
        code, out, err = _finish(self.begin(command), deadline)
        if code != 0:
            raise self._refused(err or f"{' '.join(command)} exited with {code}", unit)
        return out

    def explain(self, complaint: str, unit: str) -> SystemdError | None:
        """Turn what systemctl or sudo complained of into an error; None where it only says that the process failed."""
        return None if complaint.startswith("Job for ") else self._refused(complaint, unit)

    def unloaded(self, state: str, unit: str) -> SystemdError:
        """Give the error for a unit that systemd has not loaded: `not-found`, `masked`, `bad-setting`."""
        return self._refused(f"{unit} is {state}".replace("is not-found", "not found"), unit)

    def _popen(self, argv: list[str], **rights: Any) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=self._env,
                start_new_session=True,  # Ctrl-C is the agent's, which lets what has begun end
                **rights,
            )
        except FileNotFoundError as error:
            hint = "apt-get install sudo, or `systemd: {sudo: false}`" if argv[0] == "sudo" else "is it a systemd host?"
            raise SystemdError(f"there is no {argv[0]} on this host", hint=hint) from error

    def _refused(self, complaint: str, unit: str) -> SystemdError:
        text = complaint.strip().splitlines()[0] if complaint.strip() else "no reason given"
        low = text.lower()
        if "not found" in low or "not loaded" in low or "does not exist" in low:
            return SystemdError(f"systemd has no unit {unit}", hint="fab karafka.install")
        if "is masked" in low:
            return SystemdError(f"the unit {unit} is masked", hint=f"systemctl unmask {unit}")
        if "bad unit file" in low or "bad-setting" in low:
            return SystemdError(
                f"systemd does not understand the unit {unit}", hint=f"systemctl status {unit}; fab karafka.install"
            )
        if low.startswith("sudo:"):
            hint = "its sudoers file is missing or of another user: inv templates.render systemd shows it"
            return SystemdError(f"sudo does not allow it: {text.removeprefix('sudo: ')}", hint=hint)
        if "authentication required" in low or "access denied" in low or "not permitted" in low:
            hint = "set `systemd: {sudo: true}` and install its sudoers file, or use `scope: user`"
            return SystemdError(f"this user may not do that to {unit}: {text}", hint=hint)
        if "connect to bus" in low or "booted with systemd" in low or "runtimedirectory" in low:
            return self._unreachable(text)
        return SystemdError(text, where=unit)

    def _unreachable(self, text: str) -> SystemdError:
        if self.kept.scope == "system":
            return SystemdError(f"systemd cannot be reached: {text}", hint="is it this host's init? systemctl status")
        folder = self._env["XDG_RUNTIME_DIR"]
        if not Path(folder).is_dir():
            hint = "the user's systemd does not run without a session: loginctl enable-linger (once, with rights)"
            return SystemdError(f"the user's systemd cannot be reached: there is no {folder}", hint=hint)
        hint = "is XDG_RUNTIME_DIR right, and dbus-user-session installed? loginctl user-status"
        return SystemdError(f"the user's systemd cannot be reached by {folder}: {text}", hint=hint)


def leave(process: subprocess.Popen[str]) -> None:
    """Leave a command that still waits: what it began goes on without it."""
    if process.poll() is None:
        try:
            process.kill()
            process.wait(_KILL_SECONDS)
        except (PermissionError, subprocess.TimeoutExpired):  # sudo's is root's, and ends with what it waits for
            process.returncode = -1
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _finish(process: subprocess.Popen[str], deadline: Deadline) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=deadline.remaining)
    except subprocess.TimeoutExpired:
        return -1, "", f"systemctl did not answer within {in_seconds(deadline.seconds)}"
    finally:
        leave(process)
    return process.returncode, out, err


def _facts(block: dict[str, str]) -> Facts:
    return Facts(
        load=block.get("LoadState", ""),
        active=block.get("ActiveState", ""),
        sub=block.get("SubState", ""),
        pid=int(block.get("MainPID") or 0),
        restarts=int(block.get("NRestarts") or 0),
        result=block.get("Result", ""),
        code=block.get("ExecMainCode", ""),
        status=int(block.get("ExecMainStatus") or 0),
        stop_seconds=_span(block.get("TimeoutStopUSec", "")),
    )


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def _span(text: str) -> float:
    """Read a time span as systemctl prints it, `1min 30s`; 0 for what is none, as `infinity`."""
    total = 0.0
    for word in text.split():
        number = word.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = word[len(number) :]
        if unit not in _UNITS or not number:
            return 0.0
        total += float(number) * _UNITS[unit]
    return total
