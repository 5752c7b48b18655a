"""How the embedded broker is set: Kafka's defaults, but for what one node on a small machine needs."""

from __future__ import annotations

from collections.abc import Mapping

# A small machine's broker: one compiler tier, one collector thread, little memory
JVM = (
    "-Xms64m",
    "-Xmx256m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",  # it leaves a file in /tmp/hsperfdata_USER, whatever TMPDIR says
    "-Djava.awt.headless=true",
)
LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
ENVIRONMENT = {"LC_ALL": "C.UTF-8"}  # a JVM reads and writes names of files in the locale's encoding
# Within the folder that the broker runs in: Kafka takes a list apart at commas, and Java reads its file as Latin-1
DATA = "data"
NODE_ID = "1"
_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": NODE_ID,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "auto.create.topics.enable": "false",  # a missing topic is to be noticed
    # The first member of a group doesn't wait for others, short sessions may be asked for
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    # Threads and buffers of a toy
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "1048576",
}


def properties(client: tuple[str, int], controller_port: int, own: Mapping[str, str]) -> str:
    """Return the text of server.properties, for a broker that runs in the folder of that file.

    Parameters
    ----------
    client : address and port where it listens for clients.
    controller_port : on 127.0.0.1 alone.
    own : settings that win over all others.
    """
    address, port = client
    settings = {
        **_PROPERTIES,
        "log.dirs": DATA,
        "listeners": f"PLAINTEXT://{address}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{address}:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        **own,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
