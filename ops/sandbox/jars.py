"""Apache Kafka's jars from Maven Central, by jgo in pure Python, cached for the user."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from ops.core.accounts import home_path, user_name
from ops.core.errors import OpsError, UsageError
from ops.core.needs import require
from ops.sandbox.lockfile import locked
from ops.sandbox.progress import Progress

KAFKA_VERSION = "4.3.1"
# slf4j-simple: without a logger the broker says nothing at all, not even why it doesn't start
_COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_TIMEOUT_SECONDS = 30
_SCOPES = (None, "compile", "runtime")


def cache_directory() -> Path:
    """Return the user's cache of this project: XDG_CACHE_HOME/karafka-ops, else ~/.cache/karafka-ops.

    Raises
    ------
    UsageError : the user has no home.
    """
    base, home = os.environ.get("XDG_CACHE_HOME", ""), home_path("~")
    root = Path(base) if Path(base).is_absolute() else Path(home) / ".cache"  # the XDG specification: ignore others
    if not root.is_absolute():
        raise UsageError(f"user {user_name()} has no home to keep Apache Kafka in", hint="set HOME or XDG_CACHE_HOME")
    return root / "karafka-ops"


def jars_directory(cache: Path | None = None) -> Path:
    """Return the folder of the jars, which is there once they are downloaded."""
    return (cache or cache_directory()) / f"kafka-{KAFKA_VERSION}"


def kafka_jars(cache: Path | None = None) -> Path:
    """Give the folder with all jars of the broker; downloaded first where it isn't there yet.

    Several processes may ask at once: one downloads, the others wait for it. A download that
    is broken off leaves nothing that a later one would take for whole.

    Parameters
    ----------
    cache : instead of the user's own.

    Raises
    ------
    OpsError : the jars can't be downloaded, or the extra `sandbox` isn't installed.
    """
    cache = cache or cache_directory()
    jars = jars_directory(cache)
    if not jars.is_dir():
        with locked(cache / f"kafka-{KAFKA_VERSION}.lock"):
            if not jars.is_dir():
                _download(jars)
    return jars


def _download(jars: Path) -> None:
    staging = jars.with_name(f"{jars.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
    try:
        complete = staging / "complete"
        complete.mkdir(parents=True)
        for path in _resolve_patiently(staging):
            path.replace(complete / path.name)
        complete.rename(jars)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _resolve_patiently(staging: Path) -> list[Path]:
    """Download, and once more from scratch where the network failed: a file may have come in half."""
    try:
        return _resolve(staging / "first")
    except OpsError:
        return _resolve(staging / "second")


def download_hint(error: Exception) -> str:
    """Return what to do: requests trusts its own certificates, not the machine's, so it knows no company's proxy."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "behind a proxy that inspects TLS: set REQUESTS_CA_BUNDLE to /etc/ssl/certs/ca-certificates.crt"
    return "needed once, then cached: is this machine online?"


def _resolve(repository: Path) -> list[Path]:
    """Download the jars and all that they need at run time into a Maven repository; gives their paths."""
    require("jgo")
    import requests
    from jgo.maven import MavenContext, PythonResolver

    logging.getLogger("jgo").setLevel(logging.ERROR)  # it warns of optional platform classifiers
    with Progress(f"Apache Kafka {KAFKA_VERSION}") as progress:
        resolver = PythonResolver(progress_callback=progress.file)
        maven = MavenContext(resolver=resolver, repo_cache=repository, timeout=_TIMEOUT_SECONDS)
        try:
            wanted, more = resolver.resolve([maven.create_dependency(one) for one in _COORDINATES])
            needed = [*wanted, *(one for one in more if one.scope in _SCOPES)]
            progress.expect(len(needed))
            return [one.artifact.resolve() for one in needed]
        except (requests.RequestException, RuntimeError, OSError) as error:
            raise OpsError(
                f"Apache Kafka's jars can't be downloaded: {error}",
                where="Maven Central",
                hint=download_hint(error),
            ) from error
