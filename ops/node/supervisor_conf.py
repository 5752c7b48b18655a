"""supervisord's own conf file on this host, which is read alone: who may use its socket, and what it includes.

Source of sections, search path and expansions: supervisor's documentation, "Configuration File".
"""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path
from platform import node

from ops.core.errors import OpsError
from ops.core.keeping import Keeping
from ops.core.regular import content_of

PLACES = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
"""Where supervisord looks by itself: EPEL and Arch have the first one, Debian the second."""
_SECTIONS = ("supervisorctl", "unix_http_server")  # the second may have a password's hash alone
_HASHED = re.compile(r"\{[A-Za-z0-9_]+\}")
_EXPANSION = re.compile(r"%(?:%|\(([A-Za-z0-9_]+)\)s)")


class SupervisorConfError(OpsError):
    """What is wanted of a conf file cannot be had; the text says why, and shows no secret."""


def credentials(kept: Keeping) -> tuple[str, str]:
    """Give the username and password of supervisord's socket.

    Raises
    ------
    SupervisorConfError : no file that may be read has them.
    """
    hint = (
        "karafka.supervisor.credentials names a file on the host, mode 0600, with [supervisorctl] username and password"
    )
    if kept.credentials:
        path = Path(kept.credentials)
        parser = _parsed(path, hint)
        if path.stat().st_mode & 0o077:
            raise SupervisorConfError("other users can read it", where=str(path), hint=f"chmod 600 {path}")
    else:
        parser, path = _own(kept, hint)
    for section in _SECTIONS:
        username, password = (parser.get(section, key, fallback="") for key in ("username", "password"))
        if username and password and not _HASHED.match(password):
            return _expanded(username, path), _expanded(password, path)
    raise SupervisorConfError("it has no username and password that a client could use", where=str(path), hint=hint)


def patterns(kept: Keeping) -> list[str]:
    """Give the patterns of the files that supervisord includes, absolute.

    Raises
    ------
    SupervisorConfError : its conf file is not there, or cannot be read.
    """
    parser, path = _own(kept, "karafka.supervisor.conf names supervisord.conf")
    found = _expanded(parser.get("include", "files", fallback=""), path).split()
    return [str(path.parent / one) for one in found]


def program_file(kept: Keeping, conf_d: str) -> str:
    """Give the path of an application's conf file that supervisord includes; empty where none is known.

    Parameters
    ----------
    conf_d : the folder that it has to be in; empty for any.
    """
    try:
        found = patterns(kept)
    except SupervisorConfError:
        return ""
    for pattern in found:
        folder, name = os.path.split(pattern)
        if re.search(r"[*?\[]", folder) or (conf_d and os.path.realpath(conf_d) != os.path.realpath(folder)):
            continue
        for own in _names(kept.group, name):
            if fnmatch.fnmatchcase(own, name):
                return f"{folder}/{own}"
    return ""


def _names(group: str, pattern: str) -> Iterator[str]:
    """Give names that a pattern may fit: with the suffix that it asks for, or a usual one."""
    suffix = re.search(r"\*(\.[A-Za-z0-9_]+)\Z", pattern)
    yield from (group + one for one in (*(suffix.groups() if suffix else ()), ".conf", ".ini"))


def _own(kept: Keeping, hint: str) -> tuple[configparser.RawConfigParser, Path]:
    """Read supervisord's conf file: the one that is named, else of the usual ones that which has the socket."""
    if kept.conf:
        return _parsed(Path(kept.conf), hint, roots=True), Path(kept.conf)
    there = [Path(one) for one in PLACES if Path(one).exists()]
    if not there:
        raise SupervisorConfError(f"there is no {' and no '.join(PLACES)}", hint=hint)
    parsed = [(_parsed(path, hint, roots=True), path) for path in there]
    return next((one for one in parsed if _has_socket(*one, kept.socket)), parsed[0])


def _has_socket(parser: configparser.RawConfigParser, path: Path, socket: str) -> bool:
    named = parser.get("unix_http_server", "file", fallback="")
    return bool(named) and os.path.realpath(_expanded(named, path)) == os.path.realpath(socket)


def _parsed(path: Path, hint: str, *, roots: bool = False) -> configparser.RawConfigParser:
    """Read a conf file as supervisor reads its own.

    Parameters
    ----------
    roots : it may be root's alone, and an agent of root's that works as another user reads it all the same.
    """
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        parser.read_string(_text(path) if roots else content_of(path).decode())
    except OSError as error:
        raise SupervisorConfError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from error
    except (configparser.Error, ValueError):  # whose words quote lines of the file
        raise SupervisorConfError("is no conf file of supervisor's", where=str(path), hint=hint) from None
    return parser


def _text(path: Path) -> str:
    """Read a file, as root where this agent has given that up.

    Raises
    ------
    OSError : it cannot be.
    """
    try:
        return content_of(path).decode()
    except PermissionError:
        from ops.node import facts

        found = facts.present(path)
        if found is None or found.trouble:
            raise
        return found.text


def _expanded(text: str, path: Path) -> str:
    known = {"here": str(path.parent), "host_node_name": node()}

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "%"
        if match[1] not in known:
            what = f"only supervisord knows what %({match[1]})s stands for"
            raise SupervisorConfError(what, where=str(path), hint="write the value itself there")
        return known[match[1]]

    return _EXPANSION.sub(value, text)
