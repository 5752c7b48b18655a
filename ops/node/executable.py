"""Whether the kernel could execute a file: its place, its mode, its format, and what a script's first line names."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_START_BYTES = 256  # that the kernel reads of a file to tell what it is
_ELF, _SCRIPT = b"\x7fELF", b"#!"
_MACHINE = slice(18, 20)  # e_machine of an ELF header, elf(5)
_FAMILIES = ((b"\x3e\x00", b"\x03\x00"), (b"\xb7\x00", b"\x28\x00"))  # 64 and 32 bits: kernels run both
_OTHER_FORMATS = Path("/proc/sys/fs/binfmt_misc")  # that this kernel was told of
_DEEPEST = 4  # scripts that are each other's interpreter, execve(2)


def find(command: str, directory: str, path: str) -> Path | None:
    """Return the file that exec would take (execvp(3)); None where it searches in vain."""
    if "/" in command:
        return Path(f"{directory}/{command}" if command[0] != "/" else command)
    for place in path.split(os.pathsep) if command else ():
        found = Path(directory, place, command)
        with suppress(OSError):  # a folder that is closed to this user is passed over by exec, too
            if found.is_file() and os.access(found, os.X_OK):
                return found
    return None


def trouble(
    path: Path, directory: str, search: str, *, own: bool = True, by_shell: bool = False, depth: int = 0
) -> str:
    """Say why a file could not be executed; empty where nothing speaks against it.

    Parameters
    ----------
    directory : where it would be.
    search : the PATH by which `env` would look.
    own : whether it would be by this user and this PATH; others may find more, and may more.
    by_shell : whether it would be by execvp(3), which hands what the kernel does not know to the shell.

    Raises
    ------
    OSError : it cannot be looked at, as a folder on the way is closed to this user.
    """
    reason = _unfit(path, own)
    start = b"" if reason else _start(path)
    if reason or start is None:
        return reason
    if not start.startswith(_SCRIPT):
        return "" if by_shell and not start.startswith(_ELF) else _unknown(start)
    for number, word in enumerate(_interpreters(start)):
        named = find(word, directory, search)
        below = "it is not in any folder of PATH" if own else ""
        if named is not None and depth < _DEEPEST:
            below = trouble(named, directory, search, own=own, by_shell=number > 0, depth=depth + 1)
        elif named is not None:
            below = "scripts without an end"
        if below:
            return f"its interpreter is {word}: {below}"
    return ""


def _unfit(path: Path, own: bool) -> str:
    if not path.exists():
        return f"it leads to {path.readlink()}, which is not there" if path.is_symlink() else "there is no such file"
    if not path.is_file():
        return "it is no file"
    may = os.access(path, os.X_OK) if own else path.stat().st_mode & 0o111
    return "" if may else "it is not executable"


def _start(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_START_BYTES)
    except OSError:
        return None  # it may be executed all the same


def _unknown(start: bytes) -> str:
    """Say why the kernel would not know a file's format; empty where it may."""
    if any(one.name not in ("register", "status") for one in _OTHER_FORMATS.glob("*")):
        return ""
    if not start.startswith(_ELF):
        return "it is no program, nor a script that begins with #! and its interpreter"
    own, its = (_start(Path("/proc/self/exe")) or start)[_MACHINE], start[_MACHINE]
    if len(its) == len(own) and its != own and not any(own in one and its in one for one in _FAMILIES):
        return "it was made for another kind of machine"
    return ""


def _interpreters(start: bytes) -> list[str]:
    """Return what a script's first line names: its interpreter, and the program that `env` is to find."""
    line = start[len(_SCRIPT) :].partition(b"\n")[0].decode(errors="replace")
    words = [word for word in re.split("[ \t]+", line.strip(" \t"), maxsplit=1) if word]
    if len(words) == 2 and Path(words[0]).name == "env":
        return [words[0], *_of_env(words[1])]
    return words[:1]


def _of_env(text: str) -> list[str]:
    """Return the program that `env` is to find by the one argument that a script's first line gives it."""
    split = re.fullmatch(r"(?:-S|--split-string=)\s*([^\s\"'\\$-][^\s\"'\\$]*)(?:\s.*)?", text)
    word = split[1] if split else text
    return [] if "=" in word or word.startswith("-") else [word]
