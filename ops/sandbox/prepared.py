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

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.sandbox.census import end_all
from ops.sandbox.daemon import Daemon, reap
from ops.sandbox.java import java, major
from ops.sandbox.kafka_settings import DATA, ENVIRONMENT, JVM, LOGGING, properties
from ops.sandbox.lockfile import locked
from ops.sandbox.ports import accepts, free_port, other_port

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
    folder : where it is; `whole`, or to be made anew.
    """

    folder: Path

    @property
    def whole(self) -> bool:
        """Whether it is there: a folder alone may be what a removal has left, or a cleaner of caches."""
        return (self.folder / BOOTSTRAP).is_file()

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
            with suppress(OSError):  # the cache is somebody else's: it stays, and this start goes on without it
                (self.folder / name).unlink()

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


def prepared(jars: Path, broker: Path) -> Prepared:
    """Return what is prepared for the jars and this machine's Java; made first where it isn't there yet.

    Several processes may ask at once: one makes it, the others wait for it.

    Parameters
    ----------
    jars : Kafka's, in the user's cache.
    broker : the broker's own folder: where the cache can't be written, its records are made there, without an archive.

    Raises
    ------
    OpsError : Kafka's storage can't be formatted, or there is no Java.
    """
    executable = java()
    kept = Prepared(jars.with_name(f"{jars.name}-{_fingerprint(executable, jars)}"))
    if not kept.whole:
        try:
            with locked(jars.with_name(f"{jars.name}.lock")):
                if not kept.whole:
                    _remove(kept.folder)
                    _make(kept.folder, executable, jars)
                    _forget_oldest(kept.folder)
        except OSError as error:
            return _without_cache(executable, jars, broker, error)
    with suppress(OSError):
        os.utime(kept.folder)  # the ones that are used are kept
    return kept


def broker_argv(executable: str, jars: Path, settings: Path, flags: Sequence[str]) -> list[str]:
    """Return the command of a broker."""
    return [executable, *JVM, *flags, *LOGGING, "-cp", f"{jars}/*", "kafka.Kafka", str(settings)]


def _without_cache(executable: str, jars: Path, broker: Path, reason: OSError) -> Prepared:
    """Make the records alone, in the broker's own folder, where they serve its later starts, too."""
    own = Prepared(broker / "prepared")
    if own.whole:
        return own
    why = f"{jars.parent} can't be written ({reason.strerror or reason})"
    print(f"{why}: Apache Kafka starts slower than it could", file=sys.stderr, flush=True)
    staging = broker / "prepared.partial"
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        settings, _ = _settings(staging)
        _format(executable, jars, settings)
        own.folder.mkdir(exist_ok=True)
        (staging / "data" / BOOTSTRAP).replace(own.folder / BOOTSTRAP)
    except OSError as error:
        raise OpsError(f"can't be written: {error.strerror or error}", where=str(broker)) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return own


def _make(folder: Path, executable: str, jars: Path) -> None:
    staging = folder.with_name(f"{folder.name}.partial")
    end_all(staging, 0)  # of a process that was killed
    shutil.rmtree(staging, ignore_errors=True)
    try:
        complete, run = staging / "complete", staging / "run"
        complete.mkdir(parents=True)
        run.mkdir()
        print("preparing Apache Kafka for fast starts (once)", file=sys.stderr, flush=True)
        settings, port = _settings(run)
        _format(executable, jars, settings)
        shutil.copyfile(run / DATA / BOOTSTRAP, complete / BOOTSTRAP)
        archive = _record(executable, jars, settings, port)
        if archive is not None:
            archive.replace(complete / archive.name)
        else:
            again = f"to try again, remove {folder}"
            print(f"no archive of its classes came of it, so it starts slower; {again}", file=sys.stderr, flush=True)
        complete.rename(folder)
    finally:
        end_all(staging, 0)
        shutil.rmtree(staging, ignore_errors=True)


def _settings(run: Path) -> tuple[Path, int]:
    """Write the settings of a broker that nobody else uses; return them and its port."""
    port = free_port()
    settings = run / "server.properties"
    settings.write_text(properties(("127.0.0.1", port), other_port(port), {}))
    return settings, port


def _format(executable: str, jars: Path, settings: Path) -> None:
    """Make an empty log directory with Kafka's own tool."""
    tool = ("kafka.tools.StorageTool", "format", "-t", _uuid(), "-c", str(settings))
    argv = [executable, *JVM, "-cp", f"{jars}/*", *tool]
    try:
        result = subprocess.run(
            argv, cwd=settings.parent, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True,
            timeout=_RUN_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        what = f"Kafka's storage can't be formatted: no end within {in_seconds(_RUN_SECONDS)}"
        raise OpsError(what, where=str(settings)) from None
    if result.returncode != 0:
        raise OpsError(f"Kafka's storage can't be formatted:\n{result.stderr[-2000:]}", where=str(settings))


def _record(executable: str, jars: Path, settings: Path, port: int) -> Path | None:
    """Run a broker that writes an archive at its end; gives the archive, None where it didn't come to that."""
    ahead = major(executable) >= AHEAD_OF_TIME
    archive = settings.parent / (_AHEAD if ahead else _SHARED)
    flags = (f"-XX:{'AOTCacheOutput' if ahead else 'ArchiveClassesAtExit'}={archive}", *_QUIET)
    try:
        argv = broker_argv(executable, jars, settings, flags)
        daemon = Daemon.spawn("kafka", argv, directory=settings.parent, env=ENVIRONMENT)
    except OpsError:  # it ended at once
        return None
    Deadline(_RUN_SECONDS).poll(lambda: not daemon.alive() or accepts("127.0.0.1", port), every=0.05)
    if daemon.alive():
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
    for one in newest.parent.glob("kafka-*-*.gone"):  # a removal that was broken off
        shutil.rmtree(one, ignore_errors=True)
    others = [one for one in newest.parent.glob("kafka-*-*") if one != newest and Prepared(one).whole]
    for one in sorted(others, key=lambda folder: folder.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        with suppress(OSError):
            _remove(one)


def _remove(folder: Path) -> None:
    """Remove a folder, which nobody finds half removed."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _uuid() -> str:
    """Make an id as Kafka writes them: 16 bytes in base64."""
    first = bytes([secrets.randbelow(0xF8)])  # from 0xF8 on it would begin with "-", as an option does
    return base64.urlsafe_b64encode(first + secrets.token_bytes(15)).decode().rstrip("=")
