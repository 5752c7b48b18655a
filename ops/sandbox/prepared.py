"""What makes a broker start fast, made once for each Java and kept beside the jars.

Two things: the records that `kafka-storage format` writes into every new log directory, and an archive of the classes
that a broker loads (class data sharing; from Java 25 on, an ahead-of-time cache). Java itself checks that an archive
was made by the same Java from the same jars, and goes on without it otherwise.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.sandbox.census import end_all
from ops.sandbox.daemon import Daemon, reap
from ops.sandbox.java import java, major
from ops.sandbox.kafka_settings import JVM, LOGGING, properties
from ops.sandbox.lockfile import locked
from ops.sandbox.ports import accepts, free_port

BOOTSTRAP = "bootstrap.checkpoint"
META = "meta.properties"
AHEAD_OF_TIME = 25  # the first Java that makes such a cache in one run, and without an archive of its own classes
_SHARED, _AHEAD = "classes.jsa", "classes.aot"
_QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")  # a foreign archive is warned of on standard output
_RUN_SECONDS = 90.0
_KEPT = 4  # each 50 to 70 MB; a virtual environment that is made anew has another Java


@dataclass(frozen=True)
class Prepared:
    """What was prepared for one Java and one set of jars.

    Attributes
    ----------
    folder : where it is; whole, or not there.
    """

    folder: Path

    @property
    def flags(self) -> tuple[str, ...]:
        """Java's options to use the archive; none where it could not be made."""
        if (self.folder / _AHEAD).is_file():
            return (f"-XX:AOTCache={self.folder / _AHEAD}", *_QUIET)
        if (self.folder / _SHARED).is_file():
            return (f"-XX:SharedArchiveFile={self.folder / _SHARED}", *_QUIET)
        return ()

    def discard_archive(self) -> None:
        """Remove the archive: Java broke on it, as it does on one that a full disk has cut."""
        for name in (_AHEAD, _SHARED):
            (self.folder / name).unlink(missing_ok=True)

    def format(self, data: Path, node: str) -> None:
        """Make the log directory of a new cluster, as `kafka-storage format` does.

        Parameters
        ----------
        data : made where missing; formatted once it has its `meta.properties`.
        node : the broker's node.id.
        """
        data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / BOOTSTRAP, data / BOOTSTRAP)
        lines = ("version=1", f"node.id={node}", f"cluster.id={_uuid()}", f"directory.id={_uuid()}")
        (data / META).write_text("".join(f"{line}\n" for line in lines))


def prepared(jars: Path) -> Prepared:
    """Return what is prepared for the jars and this machine's Java; made first where it isn't there yet.

    Several processes may ask at once: one makes it, the others wait for it.

    Parameters
    ----------
    jars : Kafka's, in the user's cache.

    Raises
    ------
    OpsError : Kafka's storage can't be formatted, or there is no Java.
    """
    executable = java()
    folder = jars.with_name(f"{jars.name}-{_fingerprint(executable, jars)}")
    if not folder.is_dir():
        with locked(jars.with_name(f"{jars.name}.lock")):
            if not folder.is_dir():
                _make(folder, executable, jars)
                _forget_oldest(folder)
    with suppress(OSError):
        os.utime(folder)  # the ones that are used are kept
    return Prepared(folder)


def broker_argv(executable: str, jars: Path, settings: Path, flags: Sequence[str]) -> list[str]:
    """Return the command of a broker."""
    return [executable, *JVM, *flags, *LOGGING, "-cp", f"{jars}/*", "kafka.Kafka", str(settings)]


def _make(folder: Path, executable: str, jars: Path) -> None:
    print("preparing Apache Kafka for fast starts (once)", file=sys.stderr, flush=True)
    staging = folder.with_name(f"{folder.name}.partial")
    end_all(staging, 0)  # of a process that was killed
    shutil.rmtree(staging, ignore_errors=True)
    try:
        complete, run = staging / "complete", staging / "run"
        complete.mkdir(parents=True)
        run.mkdir()
        port = free_port()
        settings = run / "server.properties"
        settings.write_text(properties(run / "data", ("127.0.0.1", port), free_port(), {}))
        _format(executable, jars, settings)
        shutil.copyfile(run / "data" / BOOTSTRAP, complete / BOOTSTRAP)
        archive = _record(executable, jars, settings, port)
        if archive is not None:
            archive.replace(complete / archive.name)
        complete.rename(folder)
    finally:
        end_all(staging, 0)
        shutil.rmtree(staging, ignore_errors=True)


def _format(executable: str, jars: Path, settings: Path) -> None:
    """Make an empty log directory with Kafka's own tool."""
    tool = ("kafka.tools.StorageTool", "format", "-t", _uuid(), "-c", str(settings))
    result = subprocess.run(
        [executable, *JVM, "-cp", f"{jars}/*", *tool],
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    if result.returncode != 0:
        raise OpsError(f"Kafka's storage can't be formatted:\n{result.stderr[-2000:]}", where=str(settings))


def _record(executable: str, jars: Path, settings: Path, port: int) -> Path | None:
    """Run a broker that writes an archive at its end; gives the archive, None where it didn't come to that."""
    ahead = major(executable) >= AHEAD_OF_TIME
    archive = settings.parent / (_AHEAD if ahead else _SHARED)
    flags = (f"-XX:{'AOTCacheOutput' if ahead else 'ArchiveClassesAtExit'}={archive}", *_QUIET)
    daemon = Daemon.spawn("kafka", broker_argv(executable, jars, settings, flags), directory=settings.parent)
    Deadline(_RUN_SECONDS).poll(lambda: not daemon.alive() or accepts("127.0.0.1", port), every=0.05)
    with suppress(Exception):  # whatever it has loaded by then is worth an archive
        _exercise(f"127.0.0.1:{port}")
    daemon.send(signal.SIGTERM)
    ended = reap(daemon.identity.pid, _RUN_SECONDS) == 128 + signal.SIGTERM  # what was killed may have written a half
    return archive if ended and archive.is_file() else None


def _exercise(bootstrap: str) -> None:
    """Do once what every client does, so that the classes for it are in the archive, too."""
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

    topic = "exercise"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        admin.wait_for_topics([topic])
    finally:
        admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=topic, auto_offset_reset="earliest")
    try:
        producer.send(topic, b"x").get(timeout=10)
        Deadline(10).poll(lambda: consumer.poll(200))
        consumer.commit()
    finally:
        consumer.close()
        producer.close()


def _fingerprint(executable: str, jars: Path) -> str:
    """Tell one Java, one set of jars and one set of options from all others."""
    path = Path(executable).resolve()
    facts = [str(path), str(jars), *JVM]
    for file in (path, path.parents[1] / "lib" / "modules", path.parents[1] / "lib" / "server" / "libjvm.so"):
        with suppress(OSError):
            found = file.stat()
            facts.append(f"{found.st_size} {found.st_mtime_ns}")
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:12]


def _forget_oldest(newest: Path) -> None:
    """Remove what wasn't used for the longest time; a broker that has it open keeps it."""
    others = [
        one
        for one in newest.parent.glob("kafka-*-*")
        if one != newest and one.suffix != ".partial" and (one / BOOTSTRAP).is_file()
    ]
    for one in sorted(others, key=lambda folder: folder.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        shutil.rmtree(one, ignore_errors=True)


def _uuid() -> str:
    """Make an id as Kafka writes them: 16 bytes in base64."""
    first = bytes([secrets.randbelow(0xF8)])  # from 0xF8 on it would begin with "-", as an option does
    return base64.urlsafe_b64encode(first + secrets.token_bytes(15)).decode().rstrip("=")
