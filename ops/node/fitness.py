"""What is in the way of a deploy on this host, before anything is moved."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import time
from collections.abc import Iterator

from ops import __version__
from ops.core.errors import OpsError
from ops.core.release import DeployCall
from ops.node import building, linking, streaming
from ops.node.releases import Releases

_LEAST_BYTES = 50_000_000
_UNPACKED = 4  # times an artifact's size may be needed
_LEAST_INODES = 1000
_SKEW_SECONDS = 30.0
_BROKER_SECONDS = 3.0
_UV_SECONDS = 20.0
_UNPACKERS = {".gz": "zlib", ".tgz": "zlib", ".bz2": "bz2", ".xz": "lzma"}


def troubles(releases: Releases, call: DeployCall) -> tuple[str, ...]:
    """Make the folders that are missing, and give what is in the way, a text each."""
    try:
        for folder in (releases.folder, releases.shared):
            folder.mkdir(parents=True, exist_ok=True)
        in_the_way = tuple(linking.make_dirs(releases.shared, call.linked_dirs, call.linked_files))
    except OSError as error:
        return (f"{error.filename} cannot be made: {error.strerror}",)
    found = [
        *in_the_way,
        *linking.unfit(releases.shared, releases.folder, call.linked_dirs, call.linked_files),
        *_tool(call),
        *_places(releases),
        *_space(releases, call),
        *_programs(call),
        *_interpreter(releases, call),
        *_brokers(call),
    ]
    skew = time.time() - call.wall
    if call.wall and abs(skew) > _SKEW_SECONDS:
        found.append(f"its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's")
    return tuple(found)


def remark(releases: Releases) -> str:
    """Say what was found fit."""
    free = shutil.disk_usage(releases.root).free
    return f"fit: Python {_version()}, {free / 1e9:.1f} GB free"


def _tool(call: DeployCall) -> Iterator[str]:
    """Look whether the agent can do all the steps: its version, its interpreter."""
    if call.tool not in ("", __version__):
        yield f"its tool is version {__version__}, yours {call.tool}: fab karafka.setup"
    for ending, module in _UNPACKERS.items():
        if call.artifact is not None and call.artifact.name.endswith(ending) and not _has(module):
            yield f"its Python {_version()} has no {module}, so that it cannot unpack {call.artifact.name}"


def _has(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _version() -> str:
    return sys.version.split()[0]


def _places(releases: Releases) -> Iterator[str]:
    for folder in (releases.root, releases.folder, releases.shared):
        probe = folder / f".karafka-check.{os.getpid()}"
        try:
            probe.unlink(missing_ok=True)
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            yield f"{folder} is not writable: {error.strerror}"
    link = releases.root / "current"
    if link.exists() and not link.is_symlink():
        yield f"{link} is no link: move it away"


def _space(releases: Releases, call: DeployCall) -> Iterator[str]:
    there = os.statvfs(releases.folder)
    free, least = there.f_bavail * there.f_frsize, _LEAST_BYTES
    if call.artifact is not None:
        least = max(least, _UNPACKED * call.artifact.size)
    if free < least:
        yield f"{free / 1e6:.0f} MB are free at {releases.folder}, at least {least / 1e6:.0f} MB are needed"
    if there.f_files and there.f_favail < _LEAST_INODES:
        yield f"{there.f_favail} inodes are free at {releases.folder}"


def _programs(call: DeployCall) -> Iterator[str]:
    if call.artifact is None and call.source and shutil.which("git") is None:
        yield "git is not installed"
    lacks = building.needs() if call.build == () else ""
    if lacks:
        yield f"{lacks}, which the default build needs: install python3-venv"


def _interpreter(releases: Releases, call: DeployCall) -> Iterator[str]:
    """Look whether the default build can make a venv that the app runs in."""
    if call.build != () or not building.is_too_old(call.oldest):
        return
    env = building.environment(call.env)
    uv = building.uv(env)
    if uv is not None:
        # With a lock uv finds an interpreter by itself, and may fetch one.
        if (releases.root / "current" / building.UV_LOCK).is_file():
            return
        try:
            if building.uv_finds(uv, call.oldest, env, _UV_SECONDS, streaming.run):
                return
        except OpsError as error:
            yield error.what
            return
    needed = ".".join(map(str, call.oldest))
    others, install = ("", "") if uv is None else (", uv finds no other", f"uv python install {needed}, or ")
    yield (
        f"the default build makes venvs of Python {_version()}{others}, the app needs {needed} or later: "
        f"{install}name one by karafka.python, then fab karafka.setup"
    )


def _brokers(call: DeployCall) -> Iterator[str]:
    """Look whether any broker takes a connection; one of them is enough to find the others."""
    if not call.brokers:
        return
    import socket

    refused = []
    for broker in call.brokers:
        host, _, port = broker.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _BROKER_SECONDS).close()
        except OSError as error:
            refused.append(f"{broker} ({error.strerror or error})")
        else:
            return
    if refused:
        yield f"no broker takes a connection from here: {', '.join(refused)}"
