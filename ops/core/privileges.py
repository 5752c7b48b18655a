"""What root gives up on a host before it touches an application's folder, and how it gets that back for one command.

The owner of the folder may have put links there, or other files in the place of those that were made. So all of the
agent works as that owner, and the kernel refuses what the owner may not do. Only the saved user id stays root's: a
command that needs root gets it back between fork and exec. What the agent runs otherwise loses it by exec.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.ownership import Owner, OwnershipError, owner_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OF_ROOT = ("SSH_AUTH_SOCK", "MAIL", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY")
"""Variables that lead to what is root's alone, beside XDG_* and SUDO_*."""
_owner: Owner | None = None


def work_as_owner(deploy_to: str, folders: Iterable[str] = ()) -> None:
    """Be the owner of an application's folder from now on, where root can do that. Before there are threads.

    Parameters
    ----------
    folders : more that this process is about to write to there.

    Raises
    ------
    OpsError : several users can change it, it is another user's than this one's, or this process is another
        application's owner already.
    """
    global _owner
    if os.geteuid() != 0 and _owner is None:
        _require_own(Path(deploy_to))
        return
    try:
        owner = owner_of(Path(deploy_to), folders)
    except OwnershipError as error:
        raise OpsError(str(error), hint=error.hint) from None
    if _owner is not None:
        if owner is None or owner.uid != _owner.uid:
            raise OpsError(f"this agent works as user {_owner.uid}, whose {deploy_to} is not", hint="again")
        return
    if owner is None:
        return
    name, home, gid, groups = _account(owner, deploy_to)
    os.setgroups(groups)
    os.setresgid(gid, gid, 0)
    os.setresuid(owner.uid, owner.uid, 0)
    _owner = owner
    if not os.access(".", os.X_OK):  # as root's home is closed to others
        os.chdir("/")
    for variable in [one for one in os.environ if one in _OF_ROOT or one.startswith(("XDG_", "SUDO_"))]:
        del os.environ[variable]
    os.environ.update(HOME=home, USER=name, LOGNAME=name)


def can_be_root() -> bool:
    """Whether this process has given root up, so that single commands get it back."""
    return _owner is not None


def as_root() -> dict[str, Any]:
    """Return what `subprocess` needs to run a command as root; nothing where there is nothing to get back."""
    return {"preexec_fn": _get_back} if _owner is not None else {}


def roots_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment for a command that is run by `as_root`."""
    return {**environment, "HOME": "/root", "USER": "root", "LOGNAME": "root"} if _owner is not None else environment


@contextmanager
def files_as_root() -> Iterator[None]:
    """Let this thread alone reach files as root: to connect to a socket. Never below an application's folder."""
    if _owner is None:
        yield
        return
    import ctypes  # the standard library has no setfsuid(2)

    libc = ctypes.CDLL(None)
    libc.setfsuid(0)
    try:
        yield
    finally:
        libc.setfsuid(_owner.uid)


def _require_own(root: Path) -> None:
    """Refuse to work in another user's folder: its links could lead to what is this user's alone.

    Raises
    ------
    OpsError : it is one.
    """
    try:
        whose = root.stat().st_uid
    except OSError:  # what is done there says why
        return
    if whose not in (0, os.geteuid()):
        what = f"{root} belongs to user {whose}, and who logs in is user {os.geteuid()}"
        raise OpsError(what, hint="log in as its owner, or let all work as that one: karafka.become: {user: OWNER}")


def _get_back() -> None:
    os.seteuid(0)
    os.setgroups([0])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _account(owner: Owner, deploy_to: str) -> tuple[str, str, int, list[int]]:
    """Return an owner's name, home, group and groups; one without an account is at home in the application's folder."""
    try:
        found = pwd.getpwuid(owner.uid)
    except KeyError:
        return str(owner.uid), deploy_to, owner.gid, [owner.gid]
    return found.pw_name, found.pw_dir, found.pw_gid, os.getgrouplist(found.pw_name, found.pw_gid)
