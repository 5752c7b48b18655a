"""What this host is like: who works on it, what is there, what its manager says. Nothing is changed."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import platform
import pwd
import re
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from ops import __version__
from ops.core import keeping, privileges, systemd
from ops.core.errors import OpsError
from ops.core.installation import SETUP_MARK, Facts, FactsCall, OpenFiles, PresentFile, Space, digest
from ops.core.keeping import Keeping
from ops.core.ownership import nearest, others_of
from ops.core.protocol import ProcessReport, Request
from ops.core.regular import MOST_BYTES
from ops.core.supervisor import enabled_in
from ops.node import logtail, manifest
from ops.node.command import asking, run
from ops.node.keeper import keeper_of
from ops.node.location import located
from ops.node.writing import written_files

_ASK_SECONDS = 4.0  # each question: all of them together have to be answered in time
_TEXT_BYTES = 1 << 20
_LIMIT = re.compile(r"^Max open files\s+([0-9]+|unlimited)", re.MULTILINE)


def gather(request: Request, call: FactsCall, reports: Sequence[ProcessReport]) -> Facts:
    """Gather the facts.

    Parameters
    ----------
    reports : how the processes are.

    Raises
    ------
    OpsError : what an install has noted cannot be read, or the host does not know who asks.
    """
    kept = request.keeping
    user, group, home = _account(call.deploy_to)
    owner, owner_group = _owner(Path(call.deploy_to))
    installed = manifest.read(request.shared)
    program_file = _program_file(kept, call.conf_d)
    asked = [f"{home}/{path[2:]}" if path.startswith("~/") else path for path in call.paths]
    asked += [program_file] if program_file else []
    paths = dict.fromkeys((*asked, *(path for files in installed.values() for path in files)))
    found = {path: present(Path(path)) for path in paths}
    return Facts(
        user=user,
        group=group,
        home=home,
        interpreter=sys.executable if privileges.can_be_root() else "",
        owner=owner,
        owner_group=owner_group,
        python=platform.python_version(),
        tool=__version__,
        wall=time.time(),
        made_of=_made_of(),
        files={path: one for path, one in found.items() if one is not None},
        installed=installed,
        sudo=_sudo(kept, [spec.name for spec in request.processes]),
        manager=_manager(kept),
        enabled=_enabled(kept, [spec.name for spec in request.processes]),
        linger=linger(user) if kept.kind == keeping.SYSTEMD and kept.scope == "user" else None,
        autostart=_autostart(kept, found),
        program_file=program_file,
        keepers=_keepers(kept, reports),
        space=_space(Path(request.shared)),
        logs={spec.name: logtail.size(Path(located(spec).files.log)) for spec in request.processes},
        open_files={one.name: files for one in reports if one.pid and (files := _open_files(one.pid))},
        written={one.name: named for one in reports if one.pid and (named := written_files(one.pid, request.shared))},
    )


def _made_of() -> tuple[str, ...]:
    """Return which interpreter setup made the own one of; nothing where it was not setup."""
    try:
        mark = json.loads((Path(sys.prefix) / SETUP_MARK).read_text())
        return str(mark["python"]), str(mark["named"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _account(deploy_to: str) -> tuple[str, str, str]:
    """Return the agent's user, group and home."""
    try:
        me = pwd.getpwuid(os.getuid())
    except KeyError:
        if not privileges.can_be_root():
            raise OpsError(f"this host knows no user {os.getuid()}", hint="look at: getent passwd") from None
        return str(os.getuid()), _group(os.getgid()), deploy_to  # an owner of an application without an account
    return me.pw_name, _group(me.pw_gid), me.pw_dir


def may_write(path: Path) -> bool:
    """Whether this user can put another file there."""
    return os.access(nearest(path.parent), os.W_OK)


def others(path: Path) -> str:
    """Say who beside root can put another file, or a link to anything, there; empty for nobody.

    Root follows no such path, neither by sudo nor by an agent that has given root up.
    """
    return others_of(nearest(path.parent), 0, 0)


def present(path: Path) -> PresentFile | None:
    """Read a file, as root where this agent has given that up; None where there is none.

    A device or a fifo has no text: to read one may never end.
    """
    found = _present(path)
    if found is None or not found.trouble or not privileges.can_be_root() or others(path):
        return found
    kind = run(("stat", "--dereference", "--format=%a %F", str(path)), as_root=True)
    if kind.code:
        return None
    mode = int(kind.out.split()[0], 8)
    if "regular" not in kind.out:
        return PresentFile("", mode)
    text = run(("head", f"--bytes={_TEXT_BYTES}", str(path)), as_root=True)
    whole = run(("sha256sum", str(path)), as_root=True)
    if text.code or whole.code:
        return found
    of_bytes = whole.out.lstrip("\\")[:64]
    return PresentFile(text.out, mode, of_bytes="" if of_bytes == digest(text.out) else of_bytes)


def _present(path: Path) -> PresentFile | None:
    try:
        there = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return PresentFile("", 0, error.strerror or str(error))
    mode = stat.S_IMODE(there.st_mode)
    if not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode):
        return PresentFile("", mode)
    try:
        with path.open("rb") as file:
            if there.st_size > MOST_BYTES:  # a hole of a terabyte is made in no time, and read in hours
                return PresentFile("", mode, f"longer than {MOST_BYTES} bytes")
            start = file.read(_TEXT_BYTES)
            text = start.decode(errors="replace")
            whole = hashlib.sha256(start)
            for part in iter(partial(file.read, _TEXT_BYTES), b""):
                whole.update(part)
            of_bytes = whole.hexdigest()
            return PresentFile(text, mode, of_bytes="" if of_bytes == digest(text) else of_bytes)
    except OSError as error:
        return PresentFile("", mode, error.strerror or str(error))


def _owner(path: Path) -> tuple[str, str]:
    try:
        found = path.stat()
    except OSError:
        return "", ""
    try:
        return pwd.getpwuid(found.st_uid).pw_name, _group(found.st_gid)
    except KeyError:
        return str(found.st_uid), _group(found.st_gid)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _sudo(kept: Keeping, names: list[str]) -> str:
    """Say why the calls that change something may not be made by sudo; `sudo -l COMMAND` asks without making one."""
    wanted = kept.kind == keeping.SYSTEMD and kept.sudo and kept.scope == "system" and names
    if not wanted or privileges.can_be_root():
        return ""
    done = run(("sudo", "-n", "-l", *systemd.start(kept.unit(names[0]))), _ASK_SECONDS)
    return "" if done.code == 0 else done.why


def _manager(kept: Keeping) -> str:
    if kept.kind == keeping.SYSTEMD:
        done = run(asking(kept, "show", "--property=Version"), _ASK_SECONDS)
        return "" if done.code == 0 else done.why
    if kept.kind == keeping.SUPERVISOR:
        from ops.node.supervision import silent

        return silent(kept)
    return ""


def _enabled(kept: Keeping, names: list[str]) -> dict[str, str]:
    """Ask which units start with the host; one word a unit, in order, also for those that are not there."""
    if kept.kind != keeping.SYSTEMD:
        return {}
    units = [kept.target, *(kept.unit(name) for name in names)]
    done = run(asking(kept, "is-enabled", *units), _ASK_SECONDS)
    words = done.out.split()
    if len(words) == len(units):
        return dict(zip(units, words))
    return {unit: run(asking(kept, "is-enabled", unit), _ASK_SECONDS).out.strip() or "not-found" for unit in units}


def _program_file(kept: Keeping, conf_d: str) -> str:
    if kept.kind != keeping.SUPERVISOR:
        return ""
    from ops.node.supervisor_conf import program_file

    return program_file(kept, conf_d)


def _autostart(kept: Keeping, found: Mapping[str, PresentFile | None]) -> bool | None:
    """Whether supervisor starts the programs with itself: it stands in their conf file."""
    if kept.kind != keeping.SUPERVISOR:
        return None
    confs = [one.text for path, one in found.items() if one and kept.is_conf(path)]
    return any(map(enabled_in, confs)) if confs else None


def linger(user: str) -> bool:
    """Whether a user's units outlive the sessions."""
    done = run(("loginctl", "show-user", user, "--property=Linger", "--value"), _ASK_SECONDS)
    if done.code == 0:
        return done.out.strip() == "yes"
    return Path("/var/lib/systemd/linger", user).exists()  # loginctl knows none that has no session


def _keepers(kept: Keeping, reports: Sequence[ProcessReport]) -> dict[str, str]:
    """Say who keeps each process, where that can be told."""
    found = {}
    for one in reports:
        with suppress(OSError):
            if one.pid:
                found[one.name] = keeper_of(kept, one.name, one.pid)
    return found


def _space(path: Path) -> Space | None:
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    size = found.f_frsize
    return Space(found.f_bavail * size, found.f_blocks * size, found.f_favail, found.f_files)


def _open_files(pid: int) -> OpenFiles | None:
    try:
        limit = _LIMIT.search(Path(f"/proc/{pid}/limits").read_text())
        used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    except OSError:
        return None
    if limit is None or limit[1] == "unlimited":
        return None
    return OpenFiles(used, int(limit[1]))
