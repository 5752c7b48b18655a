"""Env files: `KEY=value` lines that never leave their host, where its secrets are.

For their user alone (mode 0600), or readable by a group that this user is in (root:deploy 0640).
They are read as systemd reads EnvironmentFile= (systemd.exec(5), src/basic/env-file.c), whoever keeps the processes.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.masking import SECRETS
from ops.core.regular import opened

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_BYTES = 1 << 20
_BLANKS, _ENDS, _COMMENTS, _ESCAPED = " \t\n\r", "\n\r", "#;", '"\\`$'
_SHOWN_CHARACTERS = 40


class EnvFileError(OpsError):
    """An env file that cannot be used; values are never shown."""


def read(path: Path, say: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """Read an env file; a missing one is empty, but no link to one that is missing.

    Its secrets are learned, so that no output has them.

    Parameters
    ----------
    say : is told of each line that has no effect.

    Raises
    ------
    EnvFileError : others may read it, it is somebody else's, or systemd would not take it.
    """
    try:
        with os.fdopen(opened(path), "rb") as file:
            facts = os.fstat(file.fileno())
            if trouble := _trouble(facts):
                hint = f"chmod 600 {path}, or chown root:GROUP and chmod 640 for the group of the user who deploys"
                raise EnvFileError(trouble, where=str(path), hint=hint)
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():  # somebody means it to be there: without it a process would have no secrets
            what = f"the env file is a link to {os.readlink(path)}, which is not there"  # noqa: PTH115
            raise EnvFileError(what, where=str(path)) from None
        return {}
    except OSError as error:
        raise EnvFileError(f"the env file cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > _MAX_BYTES:
        raise EnvFileError(f"the env file is longer than {_MAX_BYTES} bytes", where=str(path))
    found = parse(data, where=str(path), say=lambda text: say(f"{path}: {text}"))
    SECRETS.learn(found)
    return found


def _trouble(facts: os.stat_result) -> str:
    """Say who may do with an env file what nobody else may; empty for nobody."""
    mode = stat.S_IMODE(facts.st_mode)
    if facts.st_uid not in (os.geteuid(), 0):
        return f"the env file belongs to user {facts.st_uid}"
    if mode & 0o037:
        what = "change" if mode & 0o022 else "read"
        return f"the env file has mode {mode:04o}, others may {what} its secrets"
    if mode & 0o040 and facts.st_gid not in (0, os.getegid(), *os.getgroups()):
        return f"the env file has mode {mode:04o}, group {facts.st_gid} may read its secrets"
    return ""


def parse(data: bytes | str, *, where: str = "", say: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """Read `KEY=value` lines; no shell, no expansion.

    Blank lines and lines that begin with # or ; are comments, which a backslash at their end goes on. A value may be in
    single quotes, where all is literal, or in double ones, where a backslash goes before " \\ $ and ` alone; both may
    have several lines. Quotes count at the begin of a value, and right after other ones. Elsewhere a backslash goes
    before any character, and at the end of a line it goes on in the next one. A # within a value is part of it. Blanks
    at both ends of what is not quoted are left out. A later line wins.

    Parameters
    ----------
    say : is told of each line that has no effect (without =, with a name that is none, such as `export A`), and of
        quotes and comments that take in more than they seem to.

    Raises
    ------
    EnvFileError : a name or value is no UTF-8, or there is a NUL byte: systemd takes nothing of such a file.
    """
    text = data.decode(errors="surrogateescape") if isinstance(data, bytes) else data
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise EnvFileError(f"line {line} has a NUL byte: systemd would take nothing of the file", where=where)
    found: dict[str, str] = {}
    for number, name, value in _assignments(text, say):
        if value is None:
            say(f"line {number} is no KEY=value, and has no effect")
            continue
        if not _is_text(name + value):
            raise EnvFileError(f"line {number} is no UTF-8: systemd would take nothing of the file", where=where)
        if _NAME.fullmatch(name):
            found[name] = value
        else:
            hint = ": leave out `export`" if name.startswith("export ") else ""
            say(f"line {number}: {name[:_SHOWN_CHARACTERS]!r} is no name, the line has no effect{hint}")
    return found


def _is_text(text: str) -> bool:
    """Whether it is UTF-8 as systemd has it: no bytes that were none, and no noncharacters."""
    return text.isascii() or not any(
        "\ud800" <= one <= "\udfff" or "\ufdd0" <= one <= "\ufdef" or ord(one) & 0xFFFE == 0xFFFE for one in text
    )


def _assignments(text: str, say: Callable[[str], None]) -> Iterator[tuple[int, str, str | None]]:
    """Yield the number of the line where it begins, the name, and the value; None for a line that assigns nothing."""
    at = 0
    while at < len(text):
        if text[at] in _BLANKS:
            at += 1
            continue
        number = text.count("\n", 0, at) + 1
        if text[at] in _COMMENTS:
            end = _after_comment(text, at)
            if "\\\n" in text[at:end]:
                say(f"line {number}: a backslash ends the comment: before systemd 254 the next line is part of it")
            at = end
            continue
        name, at = _name(text, at)
        if text[at : at + 1] == "=":
            value, at, trailing = _value(text, at + 1)
            if at > len(text):
                say(f"line {number}: a quote is never closed, all that follows is in the value")
            elif trailing:
                say(f"line {number}: what follows the closing quote is part of the value, also behind a #")
            yield number, name, value
        else:
            yield number, name, None


def _after_comment(text: str, at: int) -> int:
    while at < len(text) and text[at] not in _ENDS:
        at += 2 if text[at] == "\\" else 1
    return at


def _name(text: str, at: int) -> tuple[str, int]:
    """Give a name and where it ends; its first character may be any, also =."""
    end = at + 1
    while end < len(text) and text[end] not in _ENDS and text[end] != "=":
        end += 1
    return text[at:end].rstrip(_BLANKS), end


def _value(text: str, at: int) -> tuple[str, int, bool]:
    """Give a value, where its line ends, and whether something follows what is quoted."""
    parts: list[str] = []
    quoted = trailing = False
    while at < len(text) and text[at] not in _ENDS:
        trailing = trailing or (quoted and text[at] not in _BLANKS)
        quoted = quoted or text[at] in "'\""
        if text[at] == "'":
            end = text.find("'", at + 1)
            end = len(text) if end < 0 else end  # and beyond it what is given back, as no quote closes
            parts.append(text[at + 1 : end])
            at = end + 1
        elif text[at] == '"':
            part, at = _quoted(text, at + 1)
            parts.append(part)
        elif text[at] in _BLANKS:
            at += 1
        else:
            part, at = _bare(text, at)
            parts.append(part)
    return "".join(parts), at, trailing


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Give what stands in double quotes, up to the end of the file where they are never closed."""
    part: list[str] = []
    while at < len(text) and text[at] != '"':
        following = text[at + 1 : at + 2]
        if text[at] != "\\":
            part.append(text[at])
        elif following and following in _ESCAPED:
            part.append(following)
        elif following != "\n":
            part.append(f"\\{following}" if following else "")
        at += 2 if text[at] == "\\" else 1
    return "".join(part), at + 1


def _bare(text: str, at: int) -> tuple[str, int]:
    """Give what is not quoted, up to the end of its line; quotes in it are ordinary characters."""
    part: list[str] = []
    kept = 0  # blanks behind it are at the end
    while at < len(text) and text[at] not in _ENDS:
        if text[at] == "\\":
            following = text[at + 1 : at + 2]
            part.append("" if following in _ENDS else following)
            kept = len(part)
            at += 2
            continue
        part.append(text[at])
        kept = kept if text[at] in _BLANKS else len(part)
        at += 1
    return "".join(part[:kept]), at
