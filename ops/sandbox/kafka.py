"""An Apache Kafka broker of one node (KRaft), on loopback unless told otherwise, from jars alone."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.sandbox.daemon import Daemon, reap, tail
from ops.sandbox.freezing import freeze
from ops.sandbox.jars import kafka_jars
from ops.sandbox.java import java
from ops.sandbox.kafka_settings import DATA, ENVIRONMENT, NODE_ID, properties
from ops.sandbox.ports import accepts, free_port, other_port
from ops.sandbox.prepared import META, Prepared, broker_argv, prepared

START_SECONDS = 90.0
STOP_SECONDS = 20.0
_ATTEMPTS = 3
_CRASHES = tuple(-one for one in (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT))


class EmbeddedKafka:
    """One broker with its data, log and settings below a folder; listens on one address alone.

    Parameters
    ----------
    directory : its own; made where missing. Data found there is used again.
    properties : broker settings beside, or instead of, the sandbox's own.
    address : where it listens; only one that nobody else can reach is right for a broker without a password.
    """

    def __init__(
        self, directory: Path, *, properties: Mapping[str, str] | None = None, address: str = "127.0.0.1"
    ) -> None:
        self.directory = directory.absolute()
        self.address = address
        self.port = 0
        self.daemon: Daemon | None = None
        self._properties = dict(properties or {})

    @classmethod
    def load(cls, record: Mapping[str, Any]) -> EmbeddedKafka:
        """Take over a running broker from what `record` gave, also in another process."""
        broker = cls(Path(record["directory"]), address=record["address"])
        broker.port = record["port"]
        broker.daemon = Daemon.load(record["daemon"])
        return broker

    def record(self) -> dict[str, Any]:
        """Give all that `load` needs as JSON data."""
        found = {"directory": str(self.directory), "address": self.address, "port": self.port}
        return {**found, "daemon": self.running.record()}

    @property
    def running(self) -> Daemon:
        """The broker's process.

        Raises
        ------
        OpsError : it was never started, or stopped.
        """
        if self.daemon is None:
            raise OpsError("the broker is not started", where=str(self.directory))
        return self.daemon

    @property
    def bootstrap(self) -> str:
        """Where clients connect to, `127.0.0.1:PORT`."""
        return f"{self.address}:{self.port}"

    @property
    def log(self) -> Path:
        """The broker's log file."""
        return self.directory / "kafka.log"

    def __enter__(self) -> EmbeddedKafka:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_seconds: float = START_SECONDS) -> None:
        """Start the broker and wait until it accepts clients; on the same port as before, if it ran before.

        Raises
        ------
        OpsError : it doesn't come up in time; with the last lines of its log.
        """
        jars = kafka_jars()  # may take long, the first time
        ready = prepared(jars, self.directory)
        deadline = Deadline(timeout_seconds)
        attempts = 1 if self.port else _ATTEMPTS
        for attempt in range(1, attempts + 1):
            if self._try_start(jars, ready, deadline):
                return
            if attempt < attempts and not deadline.expired and "Address already in use" in tail(self.log, 50):
                self.port = 0  # somebody was faster: another one
                continue
            said = tail(self.log)
            self.kill()
            raise OpsError(f"Kafka did not start within {in_seconds(timeout_seconds)}:\n{said}", where=str(self.log))

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End the broker as an operator would: TERM, then KILL; data and port are kept for the next start."""
        if self.daemon is not None:
            self.daemon.stop(timeout_seconds)
            self.daemon = None

    def kill(self) -> None:
        """End the broker at once, as a power cut would."""
        self.stop(timeout_seconds=0)

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the broker: connections stay open and nothing answers."""
        freeze([self.running.identity])

    def resume(self) -> None:
        """End a pause."""
        self.running.send(signal.SIGCONT)

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Make topics; returns when each partition has a leader. Those that exist stay as they are.

        Parameters
        ----------
        partitions : number of partitions of each topic.
        config : settings for each of them, `{"max.message.bytes": "10000000"}`.
        """
        from kafka import KafkaAdminClient
        from kafka.errors import NoError, TopicAlreadyExistsError, for_code

        new = {
            name: {"num_partitions": count, "replication_factor": 1, "configs": dict(config or {})}
            for name, count in partitions.items()
        }
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            for topic in admin.create_topics(new, raise_errors=False)["topics"]:
                error = for_code(topic["error_code"])
                if error not in (NoError, TopicAlreadyExistsError):
                    raise OpsError(
                        f"topic {topic['name']} can't be made: {topic['error_message']}", where=self.bootstrap
                    )
            admin.wait_for_topics(list(new))
        finally:
            admin.close()

    def _try_start(self, jars: Path, ready: Prepared, deadline: Deadline) -> bool:
        """Start once; False when it ended or the deadline passed, whichever the log tells."""
        settings = self._configure()
        data = self.directory / DATA
        if not (data / META).is_file():
            ready.format(data, self._properties.get("node.id", NODE_ID))
        flags = ready.flags
        code = self._launch(broker_argv(java(), jars, settings, flags), deadline)
        if flags and code in _CRASHES:  # Java checks whose archive it is, and not each of its pages
            ready.discard_archive()
            code = self._launch(broker_argv(java(), jars, settings, ()), deadline)
        return code is None and accepts(self.address, self.port)

    def _launch(self, argv: list[str], deadline: Deadline) -> int | None:
        """Start a process and wait until it accepts clients, ends or the deadline passes; gives its exit code."""
        daemon = self.daemon = Daemon.spawn("kafka", argv, directory=self.directory, env=ENVIRONMENT)
        deadline.poll(lambda: not daemon.alive() or accepts(self.address, self.port), every=0.05)
        return None if daemon.alive() else reap(daemon.identity.pid, STOP_SECONDS)

    def _configure(self) -> Path:
        """Write the broker's settings; its port is chosen at the first time, the controller's each time."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port((self.address,))
        controller = other_port(self.port)
        path = self.directory / "server.properties"
        path.write_text(properties((self.address, self.port), controller, self._properties))
        return path
