"""Env files: `KEY=value` lines of mode 0600 that never leave their host, where its secrets are."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from ops.core.errors import OpsError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_BYTES = 1 << 20


class EnvFileError(OpsError):
    """An env file that cannot be used; values are never shown."""


def read(path: Path) -> dict[str, str]:
    """Read an env file; a missing one is empty.

    Raises
    ------
    EnvFileError : others may read it, it is somebody else's, or a line of it is malformed.
    """
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if stat.S_IMODE(facts.st_mode) & 0o077:
                raise EnvFileError(
                    f"the env file has mode {stat.S_IMODE(facts.st_mode):04o}, others may read its secrets",
                    where=str(path),
                    hint=f"chmod 600 {path}",
                )
            if facts.st_uid not in (os.geteuid(), 0):
                raise EnvFileError(f"the env file belongs to user {facts.st_uid}", where=str(path))
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise EnvFileError(f"the env file cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > _MAX_BYTES:
        raise EnvFileError(f"the env file is longer than {_MAX_BYTES} bytes", where=str(path))
    return parse(os.fsdecode(data), where=str(path))


def parse(text: str, *, where: str = "") -> dict[str, str]:
    """Read `KEY=value` lines as systemd.exec(5) EnvironmentFile= does, one line a value; no shell, no expansion.

    Blank lines and lines that begin with # or ; are comments. A value in single quotes is
    literal; in double quotes a backslash goes before " \\ $ and `; in an unquoted value before
    any character. A later line wins.

    Raises
    ------
    EnvFileError : names the line, never the value.
    """
    found: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(" \t\r")
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        name = name.rstrip(" \t")
        if not equals or not _NAME.fullmatch(name):
            raise EnvFileError(f"line {number} is no KEY=value", where=where)
        try:
            found[name] = _value(value.strip(" \t"))
        except ValueError as error:
            raise EnvFileError(f"line {number} ({name}): {error}", where=where) from error
    return found


def _value(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL byte is in the value")
    quote = text[:1] if text[:1] in ("'", '"') else ""
    value: list[str] = []
    characters = iter(text[len(quote) :])
    for character in characters:
        if quote and character == quote:
            if "".join(characters):
                raise ValueError("something follows the closing quote")
            return "".join(value)
        if character == "\\" and quote != "'":
            following = next(characters, "")
            if not following:
                raise ValueError("a backslash ends the line")
            if quote and following not in '"\\$`':
                value.append(character)
            value.append(following)
        else:
            value.append(character)
    if quote:
        raise ValueError("the closing quote is missing")
    return "".join(value)
