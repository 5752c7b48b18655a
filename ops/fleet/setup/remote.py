"""Runs on a host, by any Python from 3.9 that it has: makes the application's folders and the tool's own venv.

Its text is sent along, so it knows the standard library of 3.9 alone, and `ops.core.ownership`, whose text comes with
it. Standard input: a tar of wheels. Standard output: JSON lines, `step` while it works, `done` or `error` last.

Where root sets up what belongs to somebody else, the venv is made in root's own place, and all below deploy_to is done
with the owner's rights.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

STEP_SECONDS = 300
LOOK_SECONDS = 10
BLOCK_BYTES = 1 << 18
FOLDERS = ("releases", "repo", "shared/releases", "shared/tmp/pids", "shared/tmp/slots", "shared/log")
LINK = "karafka-ops"
HOST = "karafka-ops-host.json"
MARK = "karafka-ops.json"  # as ops.core.installation has it
OTHERS_WRITE = 0o022  # an access list's write permission shows in the group's bit
PYTHON = re.compile(r"python3(\.[0-9]+)?")
TELL = """\
import json, sys
print(json.dumps([sys.executable, list(sys.version_info[:3]), sys.prefix != sys.base_prefix]))
"""
NAME_ONE = "install one beside it, or name it: `python: /opt/py/bin/python3` for the host or the stage"


class RefusalError(Exception):
    """What keeps the host from being set up."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class Python(NamedTuple):
    """An interpreter of this host: `venv` says that it is some venv's."""

    path: str
    version: tuple[int, ...]
    venv: bool

    def __str__(self) -> str:
        """Return its version and where it is."""
        return f"Python {'.'.join(map(str, self.version))} ({self.path})"


def begin(order: dict[str, Any]) -> None:
    """Carry the order out, and tell what came of it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the operator may go: what has begun is finished
    try:
        # Before there is a lock to hold: nothing may come for long, or ever
        say(**main(order, received(0, STEP_SECONDS)))
    except RefusalError as refusal:
        say(error=str(refusal), hint=refusal.hint)
    except OSError as error:
        say(error=f"{error.filename or 'setup'}: {error.strerror}", hint="")


def received(descriptor: int, seconds: float) -> bytes:
    """Return all that comes to its end.

    Raises
    ------
    RefusalError : the end is not there in time.
    """
    parts, end = [b""], time.monotonic() + seconds
    while select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
        part = os.read(descriptor, BLOCK_BYTES)
        if not part:
            return b"".join(parts)
        parts.append(part)
    raise RefusalError(f"the wheels were not through within {seconds:.0f} s")


def main(order: dict[str, Any], wheels: bytes) -> dict[str, Any]:
    """Carry the order out; return the last line."""
    root = Path(order["deploy_to"])
    shared = root / "shared"
    rules = module_of(order["ownership"])
    try:
        owner = rules.owner_of(root) if os.geteuid() == 0 else None
    except rules.OwnershipError as error:
        raise RefusalError(str(error), error.hint) from None
    home = Path(order["place"]) if owner else shared
    if owner:
        os.umask(OTHERS_WRITE)  # everybody may read and run what root alone writes
        home.mkdir(parents=True, exist_ok=True)
        left = rules.give(root, owner)
        if left:
            say(step="left as it is", detail=f"root's, and closed to user {owner.uid}: {', '.join(left[:3])}")
    with rules.rights_of(owner):
        make_folders(root)
    others = rules.others_of(home, os.geteuid(), rules.own_group())
    if others:
        hint = f"give {root} to the one user who works there; or let all work as that one: `become: {{user: USER}}`"
        raise RefusalError(f"{others}, and so what user {os.geteuid()} would run", hint)
    with (home / f"{LINK}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with rules.rights_of(owner):
                move_in(shared, order)
            raise RefusalError("another setup is under way there", "wait for its end") from None
        with rules.rights_of(owner):
            move_in(shared, order)
            write(shared / HOST, {"host": order["host"], "stage": order["stage"]})
        made = made_by(home / LINK, order["digest"])
        changed = made is None or not made.will_do(order["python"])
        newer = "" if made is None or changed else beyond(made, order)
        if changed:
            make_venv(home, order, interpreters(order), wheels, owner)
        own = look(home / LINK / "bin" / "python")
        mark = json.loads((home / LINK / MARK).read_text())
    python = str(own._replace(path=mark["python"])) if own else ""
    return {"done": True, "changed": changed, "python": python, "newer": newer}


def module_of(text: str) -> Any:
    """Return the module that a text is."""
    module = ModuleType("ownership")
    exec(compile(text, "ops.core.ownership", "exec"), module.__dict__)
    return module


def make_folders(root: Path) -> None:
    """Make the application's folders.

    Raises
    ------
    RefusalError : one cannot be made.
    """
    for folder in FOLDERS:
        try:
            (root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = f"make {root} and give it to user {os.environ.get('USER') or os.getuid()}"
            raise RefusalError(f"{root / folder} cannot be made: {error.strerror}", hint) from error


def move_in(shared: Path, order: dict[str, Any]) -> None:
    """Make sure that no other host lives there; one that the inventory does not have any more has been renamed.

    Raises
    ------
    RefusalError : one does, or may.
    """
    file = shared / HOST
    try:
        known = json.loads(file.read_text() if file.is_file() else "")
        name, stage = str(known["host"]), str(known["stage"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if name in ("", order["host"]):
        return
    if stage == order["stage"] and name not in order["fleet"]:
        say(step="renamed", detail=f"it was {name}")
        return
    raise RefusalError(
        f"{shared.parent} is the one of host {name} (stage {stage}): two hosts cannot share one, on a network file "
        "system or as one machine under two names: releases, locks and processes would be each other's",
        f"give {order['host']} a deploy_to of its own; where {name} has another machine by now (this one was made of "
        f"its image, or names have moved): rm {file} there, then fab karafka.setup",
    )


class Made(NamedTuple):
    """What a venv was made of: its interpreter, the setting's name for that, the newest that there was at the time."""

    python: str
    named: str
    newest: tuple[int, ...]

    def will_do(self, named: str) -> bool:
        """Whether it is what a setting names; without one, whether none did when it was made."""
        return named in (self.python, self.named) if named else not self.named


def made_by(link: Path, digest: str) -> Made | None:
    """Return what a venv was made of that has this very build and works."""
    try:
        mark = json.loads((link / MARK).read_text())
        newest = tuple(int(part) for part in mark["newest"].split("."))
        return None if mark["digest"] != digest or failure(link) else Made(mark["python"], mark["named"], newest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def beyond(made: Made, order: dict[str, Any]) -> str:
    """Name an interpreter that came after the venv was made and is newer than any before it; empty for none."""
    if order["python"]:
        return ""
    try:
        best = interpreters(order)[0]
    except RefusalError:
        return ""
    return str(best) if best.version[:2] > made.newest else ""


def interpreters(order: dict[str, Any]) -> list[Python]:
    """Return those that may make the venv, the best first: the one that a setting names, else all from the newest on.

    Raises
    ------
    RefusalError : there is none.
    """
    oldest, newest = tuple(order["oldest"]), tuple(order["newest"])
    named = order["python"]
    if named:
        one = look(Path(named))
        if one is None:
            raise RefusalError(f"karafka.python names {named}, which is not there or no Python 3", NAME_ONE)
        if one.version[:2] < oldest:
            raise RefusalError(f"karafka.python names {named}, which is {one}; it needs {dotted(oldest)} or later")
        return [one]
    found = sorted(everywhere(order["places"]), key=lambda one: one.version, reverse=True)
    fit = [one for one in found if oldest <= one.version[:2] <= newest]
    if not fit:
        there = ", ".join(map(str, found)) or "none"
        raise RefusalError(f"it has no Python from {dotted(oldest)} to {dotted(newest)}; found: {there}", NAME_ONE)
    return fit


def everywhere(places: list[str]) -> list[Python]:
    """Return the interpreters on PATH and in the usual places; no venv's, which may go with its application."""
    folders = [Path(one) for one in os.environ.get("PATH", "").split(":") if one.startswith("/")]
    for place in places:
        folders += sorted(Path("/").glob(place[1:]))
    found: dict[str, Python] = {}
    for folder in folders:
        for path in sorted(folder.glob("python3*")):
            real = harmless(path) if PYTHON.fullmatch(path.name) else None
            one = look(real) if real is not None else None
            if one is not None and not one.venv and harmless(Path(one.path)) is not None:
                found.setdefault(os.path.realpath(one.path), one)
    return list(found.values())


def harmless(path: Path) -> Path | None:
    """Return the file that it leads to, if none but root and this user can change it or put another in its place.

    None, too, for a venv's own: its interpreter runs what is in its site-packages, which may be another user's.
    """
    real = Path(os.path.realpath(path))
    try:
        said = [one.lstat() for one in (real, *real.parents)]
    except OSError:
        return None
    if any(one.st_uid not in (0, os.geteuid()) or one.st_mode & OTHERS_WRITE for one in said):
        return None
    return None if any((one / "pyvenv.cfg").exists() for one in (real.parent, real.parent.parent)) else real


def look(path: Path) -> Python | None:
    """Return what an interpreter says of itself; None for anything that is none."""
    try:
        code, output = ended([str(path), "-I", "-c", TELL], LOOK_SECONDS, errors=subprocess.DEVNULL)
        if code:
            return None
        where, version, venv = json.loads(output)
        return Python(str(where or path), tuple(map(int, version)), bool(venv))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError):
        return None


def dotted(version: tuple[int, ...]) -> str:
    """Return a version as people write it."""
    return ".".join(map(str, version))


def make_venv(shared: Path, order: dict[str, Any], pythons: list[Python], wheels: bytes, owner: Any = None) -> None:
    """Make a new venv and swing the link to it; the one before stays, for agents still at work."""
    link = shared / LINK
    if link.is_dir() and not link.is_symlink():
        raise RefusalError(f"{link} is a folder, not setup's link", "move it away")
    prefix = f"{LINK}-{order['version']}-"
    numbers = [path.name[len(prefix) :] for path in shared.glob(f"{prefix}*")]
    venv = shared / f"{prefix}{1 + max([int(one) for one in numbers if one.isascii() and one.isdigit()], default=0)}"
    keep = {venv, link.resolve()}
    try:
        python = first_venv(venv, pythons)
        install(venv, order, python, wheels)
        said = failure(venv)
        if said:
            raise RefusalError(f"the tool does not run there by {python}: {said}")
        if owner and failure(venv, owner):
            what = f"user {owner.uid}, whose the application is, cannot run {python}: {failure(venv, owner)}"
            raise RefusalError(what, NAME_ONE)
        made = {"version": order["version"], "digest": order["digest"], "python": python.path, "named": order["python"]}
        write(venv / MARK, {**made, "newest": dotted(pythons[0].version[:2])})
        temporary = shared / f"{LINK}.{os.getpid()}"
        temporary.symlink_to(venv.name)
        temporary.replace(link)
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise
    for path in shared.glob(f"{LINK}-*"):
        if path.is_dir() and path.resolve() not in {one.resolve() for one in keep}:
            shutil.rmtree(path, ignore_errors=True)


def first_venv(venv: Path, pythons: list[Python]) -> Python:
    """Make the venv by the first interpreter that can, pip included; return that one.

    Raises
    ------
    RefusalError : none can.
    """
    refusals = []
    for one in pythons:
        say(step=f"making a venv by {one}", detail=str(venv))
        try:
            run([one.path, "-I", "-m", "venv", str(venv)], f"{one} cannot make a venv")
        except (RefusalError, OSError) as refusal:
            shutil.rmtree(venv, ignore_errors=True)
            refusals.append(str(refusal))
            if one is not pythons[-1]:
                say(step="passed over", detail=str(refusal))
            continue
        return one
    raise RefusalError("; ".join(refusals), "Debian, Ubuntu: apt-get install python3-venv; or name another: `python:`")


def install(venv: Path, order: dict[str, Any], python: Python, wheels: bytes) -> None:
    """Install the tool's wheel, and what it needs: from the wheels that came along, else from the registry."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(fileobj=io.BytesIO(wheels)) as archive:
                for member in archive.getmembers():
                    content = archive.extractfile(member)
                    if content is not None:
                        (Path(folder) / Path(member.name).name).write_bytes(content.read())
        except tarfile.TarError as error:
            raise RefusalError(f"the wheels did not come whole: {error}") from None
        pip = [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        source = ["--no-index", "--find-links", folder] if order["offline"] else []
        say(step="installing", detail=f"karafka-ops {order['version']}, {', '.join(order['requirements'])}")
        hint = "no registry there? --wheelhouse DIR"
        if order["offline"]:
            own = f"pip download --only-binary :all: --python-version {dotted(python.version[:2])}"
            hint = f"what is missing goes into the wheelhouse: {own} ..."
        run([*pip, "--quiet", *source, str(Path(folder) / order["wheel"])], "it cannot be installed", hint)


def run(argv: list[str], what: str, hint: str = "", owner: Any = None) -> None:
    """Run one command; its last lines are the error's."""
    try:
        code, output = ended(argv, STEP_SECONDS, errors=subprocess.STDOUT, owner=owner)
    except subprocess.TimeoutExpired:
        raise RefusalError(f"{what}: no end after {STEP_SECONDS} s", hint) from None
    if code:
        said = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
        raise RefusalError(f"{what}: {' / '.join(said[-4:])}", hint)


def ended(argv: list[str], seconds: float, errors: int, owner: Any = None) -> tuple[int, bytes]:
    """Run one command to its end; return its exit code and output. One that is too slow is ended with all it began.

    Raises
    ------
    OSError : it cannot be run.
    subprocess.TimeoutExpired : it was too slow.
    """
    # a folder of its own for what pip and ensurepip leave in the temporary one
    whose: dict[str, Any] = {"user": owner.uid, "group": owner.gid, "extra_groups": [], "cwd": "/"} if owner else {}
    with tempfile.TemporaryDirectory(prefix="karafka-setup-") as folder:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            env={**os.environ, "TMPDIR": folder}, **whose,
        )  # fmt: skip
        with child:
            try:
                output, _ = child.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)  # not reaped yet: the number is still its own
                raise
    return child.returncode, output


def failure(venv: Path, owner: Any = None) -> str:
    """Say what keeps an agent from running there, or an owner from running what it starts; empty for nothing."""
    argv = [str(venv / "bin" / "python"), "-I", "-c", "import ops.node.__main__, ops.kafka.groups"]
    try:
        run(argv, "it fails", owner=owner)
    except (RefusalError, OSError) as error:
        return str(error)
    return ""


def write(path: Path, data: dict[str, str]) -> None:
    """Write a JSON file, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with temporary.open("x") as file:
        file.write(json.dumps(data) + "\n")
    temporary.replace(path)


def say(**fields: Any) -> None:
    """Write a line, beginning on one of its own; an operator that went away is nobody's reason to fail."""
    try:
        os.write(1, f"\n{json.dumps({'setup': 1, **fields})}\n".encode())
    except OSError:
        return
