"""What tests need beyond Python packages: looked for in one place, left out or demanded in one way.

On a newcomer's machine a test whose part is missing is left out, and the last lines of the run say what, why, and what
brings it. In CI it fails: nothing is left out there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

INSTALL = "sudo .ci/install"
AS_ROOT = "sudo make test"
_PROJECT = Path(__file__).parents[2] / ".venv" / "bin"  # where make puts programs, whatever interpreter runs the tests
_PATH = os.pathsep.join(
    (
        sysconfig.get_path("scripts"),
        os.environ.get("PATH", os.defpath),
        *("/usr/sbin", "/usr/local/sbin", "/sbin", str(_PROJECT)),
    )
)
_MARK = "left out: "


@dataclass(frozen=True)
class Part:
    """One thing that is not on every machine.

    Attributes
    ----------
    name : what it is, in words that follow "tests with".
    look : gives what is missing, in words; empty for nothing.
    bring : the commands that bring it, in turn.
    """

    name: str
    look: Callable[[], str]
    bring: tuple[str, ...] = (INSTALL,)


def find(program: str) -> str | None:
    """Return the path of a program, also of one of this environment or for administrators."""
    return shutil.which(program, path=_PATH)


def _programs(*names: str) -> Callable[[], str]:
    def look() -> str:
        absent = [name for name in names if find(name) is None]
        return f"not installed: {', '.join(absent)}" if absent else ""

    return look


def _systemd_host() -> str:
    from ops.sandbox.nspawn import missing

    return missing()


def _namespaces() -> str:
    absent = _programs("unshare", "mount")()
    if absent:
        return absent
    done = subprocess.run(["unshare", "-rm", "true"], capture_output=True, text=True, timeout=20, check=False)
    return f"this user may make none: {done.stderr.strip()}" if done.returncode else ""


def _python_of_all() -> str:
    """Say whether /usr/bin/python3, which every user may run, will do for hosts."""
    from ops.core.interpreters import OLDEST_ON_HOSTS

    ask = f"import sys, venv; sys.exit(sys.version_info < {OLDEST_ON_HOSTS!r})"
    try:
        done = subprocess.run(["/usr/bin/python3", "-I", "-c", ask], capture_output=True, timeout=20, check=False)
    except OSError:
        return "there is no /usr/bin/python3"
    return "/usr/bin/python3 is too old, or has no venv" if done.returncode else ""


def _autogroup() -> str:
    return "" if os.path.exists("/proc/self/autogroup") else "this kernel does not schedule by session"  # noqa: PTH110


def own_folder() -> Path | None:
    """Return a folder that no other user may change, nor what it is in; HOME may be below /tmp."""
    candidates = (Path.home(), Path(pwd.getpwuid(os.getuid()).pw_dir), *_PROJECT.parents)
    return next((one for one in candidates if one.is_dir() and _is_own(one.resolve())), None)


def _is_own(folder: Path) -> bool:
    stats = [one.stat() for one in (folder, *folder.parents)]
    closed = all(one.st_uid in (0, os.getuid()) and not one.st_mode & 0o022 for one in stats)
    return closed and os.access(folder, os.W_OK)


def _own_folder() -> str:
    return "" if own_folder() else "neither the home folder nor the project's is one"


def _root() -> str:
    return "" if os.geteuid() == 0 else "this user is not root"


ROOT = Part("root", _root, (AS_ROOT,))
PYTHON_OF_ALL = Part("a Python of the system's own, with venv", _python_of_all)
SYSTEMD_HOST = Part("a host of systemd's own", _systemd_host, (INSTALL, AS_ROOT))
SSHD = Part("OpenSSH's server", _programs("sshd"))
SSH = Part("OpenSSH's client", _programs("ssh", "ssh-keygen", "ssh-keyscan"))
SYSTEMD_ANALYZE = Part("systemd-analyze", _programs("systemd-analyze"))
VISUDO = Part("visudo", _programs("visudo"))
LOGROTATE = Part("logrotate", _programs("logrotate"))
ACTIONLINT = Part("actionlint", _programs("actionlint"), ("make actionlint",))
TCSH = Part("tcsh", _programs("tcsh"))
CAPISTRANO = Part("Capistrano", _programs("cap"))
GIT = Part("git", _programs("git"), ("sudo apt-get install git",))
GIT_LFS = Part("git-lfs", _programs("git-lfs"))
NAMESPACES = Part("namespaces of a user's own", _namespaces, (AS_ROOT,))
OWN_FOLDER = Part("a folder that no other user may change", _own_folder, ("clone into a home folder below /home",))
AUTOGROUP = Part("session scheduling", _autogroup, ("boot a kernel with CONFIG_SCHED_AUTOGROUP",))
PARTS = (
    ROOT,
    PYTHON_OF_ALL,
    SYSTEMD_HOST,
    SSHD,
    SSH,
    SYSTEMD_ANALYZE,
    VISUDO,
    LOGROTATE,
    ACTIONLINT,
    TCSH,
    CAPISTRANO,
    GIT,
    GIT_LFS,
    NAMESPACES,
    AUTOGROUP,
    OWN_FOLDER,
)


def needs(*parts: Part) -> pytest.MarkDecorator:
    """Mark a test, or a module's `pytestmark`, that needs parts."""
    return pytest.mark.needs(*parts)


def require(*parts: Part) -> None:
    """Leave the test out whose part is missing; fail it in CI."""
    for part in parts:
        why = _missing(part)
        if why and in_ci():
            pytest.fail(f"{part.name}: {why}; bring it: {' && '.join(part.bring)}", pytrace=False)
        if why:
            pytest.skip(f"{_MARK}{part.name}")


def in_ci() -> bool:
    """Return whether this run is a pipeline's, which leaves nothing out."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def part_of(report: pytest.TestReport | pytest.CollectReport) -> Part | None:
    """Return the part whose lack left a test out; None for any other report."""
    reason = report.longrepr[2] if isinstance(report.longrepr, (tuple, list)) else ""
    found = reason.partition(_MARK)[2]
    return next((part for part in PARTS if part.name == found), None)


def summary(left_out: Iterable[Part]) -> list[str]:
    """Return the lines that say what was left out, why, and what brings it; a part for each test."""
    counted = Counter(left_out)
    if not counted:
        return []
    lines = ["left out, for what they need is not on this machine:"]
    for part, tests in counted.most_common():
        lines.append(f"  {tests} {'test' if tests == 1 else 'tests'} with {part.name} ({_missing(part)})")
    bring = dict.fromkeys(command for part in counted for command in part.bring if command != AS_ROOT)
    if any(AS_ROOT in part.bring for part in counted):
        bring[AS_ROOT] = None
    return [*lines, f"what brings them: {' && '.join(bring)}"]


@cache
def _missing(part: Part) -> str:
    return part.look()
