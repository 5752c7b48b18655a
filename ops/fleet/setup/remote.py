"""Runs on a host, by whatever python3 it has: makes the application's folders and the tool's own venv.

Never imported by the tool: its text is sent along, so it knows the standard library alone. Standard input: a tar of
wheels. Argument: JSON. Standard output: JSON lines, `step` while it works, `done` or `error` last.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

STEP_SECONDS = 300
FOLDERS = ("releases", "repo", "shared/releases", "shared/tmp/pids", "shared/tmp/slots", "shared/log")
LINK = "karafka-ops"
MARK = "karafka-ops.json"  # in a venv that is whole: which build it has


class RefusalError(Exception):
    """What keeps the host from being set up."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Carry the order out; gives the last line."""
    root = Path(order["deploy_to"])
    shared = root / "shared"
    for folder in FOLDERS:
        try:
            (root / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = f"make {root} and give it to user {os.environ.get('USER') or os.getuid()}"
            raise RefusalError(f"{root / folder} cannot be made: {error.strerror}", hint) from error
    with (shared / f"{LINK}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusalError("another setup is under way there", "wait for its end") from None
        changed = not is_there(shared / LINK, order["digest"])
        if changed:
            make_venv(shared, order)
        write(shared / "karafka-ops-host.json", {"host": order["host"], "stage": order["stage"]})
    return {"done": True, "changed": changed, "python": sys.version.split()[0]}


def is_there(link: Path, digest: str) -> bool:
    """Whether this very build is installed already, and works."""
    try:
        return json.loads((link / MARK).read_text()).get("digest") == digest and not failure(link)
    except (OSError, ValueError):
        return False


def make_venv(shared: Path, order: dict[str, Any]) -> None:
    """Make a new venv and swing the link to it; the one before stays, for agents still at work."""
    link = shared / LINK
    if link.is_dir() and not link.is_symlink():
        raise RefusalError(f"{link} is a folder, not setup's link", "move it away")
    prefix = f"{LINK}-{order['version']}-"
    numbers = [path.name.removeprefix(prefix) for path in shared.glob(f"{prefix}*")]
    venv = shared / f"{prefix}{1 + max([int(one) for one in numbers if one.isdigit()], default=0)}"
    keep = {venv, link.resolve()}
    try:
        say(step="making a venv", detail=str(venv))
        run([sys.executable, "-m", "venv", str(venv)], "its python3 cannot make a venv", "apt-get install python3-venv")
        install(venv, order)
        said = failure(venv)
        if said:
            raise RefusalError(f"the tool does not run there: {said}")
        write(venv / MARK, {"version": order["version"], "digest": order["digest"]})
        temporary = shared / f"{LINK}.{os.getpid()}"
        temporary.symlink_to(venv.name)
        temporary.replace(link)
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise
    for path in shared.glob(f"{LINK}-*"):
        if path.is_dir() and path.resolve() not in {one.resolve() for one in keep}:
            shutil.rmtree(path, ignore_errors=True)


def install(venv: Path, order: dict[str, Any]) -> None:
    """Install the tool's wheel, and what it needs: from the wheels that came along, else from the registry."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(sys.stdin.buffer.read())) as archive:
            for member in archive.getmembers():
                content = archive.extractfile(member)
                if content is not None:
                    (Path(folder) / Path(member.name).name).write_bytes(content.read())
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-q"]
        local = ["--no-index", "--find-links", folder]
        say(step="installing", detail=f"karafka-ops {order['version']}")
        run([*pip, *local, "--no-deps", str(Path(folder) / order["wheel"])], "karafka-ops cannot be installed")
        say(step="installing", detail=", ".join(order["requirements"]))
        offline = order["offline"]
        hint = "what is missing goes into the wheelhouse" if offline else "no registry there? --wheelhouse DIR"
        run([*pip, *(local if offline else []), *order["requirements"]], "its requirements cannot be installed", hint)


def run(argv: list[str], what: str, hint: str = "") -> None:
    """Run one command; its last lines are the error's."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=STEP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RefusalError(f"{what}: no end after {STEP_SECONDS} s", hint) from None
    if done.returncode:
        said = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        raise RefusalError(f"{what}: {' / '.join(said[-4:])}", hint)


def failure(venv: Path) -> str:
    """Say what keeps an agent from running there; empty for nothing."""
    try:
        run([str(venv / "bin" / "python"), "-P", "-c", "import ops.node.__main__"], "it fails")
    except (RefusalError, OSError) as error:
        return str(error)
    return ""


def write(path: Path, data: dict[str, str]) -> None:
    """Write a JSON file, whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data) + "\n")
    temporary.replace(path)


def say(**fields: Any) -> None:
    """Write one line; an operator that went away is nobody's reason to fail."""
    try:
        os.write(1, (json.dumps(fields) + "\n").encode())
    except OSError:
        return


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the operator may go: what has begun is finished
    try:
        say(**main(json.loads(sys.argv[1])))
    except RefusalError as refusal:
        say(error=str(refusal), hint=refusal.hint)
    except OSError as error:
        say(error=f"{error.filename or 'setup'}: {error.strerror}", hint="")
