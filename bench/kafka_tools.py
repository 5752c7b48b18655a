"""Apache Kafka's own command line tools, to compare with: jars from Maven Central, started as its scripts do."""

from __future__ import annotations

import shutil
from pathlib import Path

from ops.core.errors import OpsError
from ops.sandbox.jars import KAFKA_VERSION, cache_directory
from ops.sandbox.java import java

_COORDINATES = (f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}", "org.slf4j:slf4j-nop:1.7.36")
_SCOPES = (None, "compile", "runtime")
_TIMEOUT_SECONDS = 30
# bin/kafka-run-class.sh gives these to every tool
_JVM = ("-Xmx256M", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")


def consumer_groups(bootstrap: str) -> tuple[str, ...]:
    """Give the command line of `kafka-consumer-groups --all-groups --describe`.

    Raises
    ------
    OpsError : its jars can't be downloaded, or there is no Java.
    """
    command = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    asks = ("--bootstrap-server", bootstrap, "--all-groups", "--describe", "--timeout", "60000")
    return (str(java()), *_JVM, "-cp", f"{_jars()}/*", command, *asks)


def _jars() -> Path:
    """Give the folder with the tools' jars; downloaded first where it isn't there yet."""
    jars = cache_directory() / f"kafka-tools-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    staging = jars.with_name(f"{jars.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        import requests
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise OpsError(f"{error.name} is not installed", hint="in a checkout: pip install '.[sandbox]'") from error
    try:
        resolver = PythonResolver()
        maven = MavenContext(resolver=resolver, repo_cache=staging / "repository", timeout=_TIMEOUT_SECONDS)
        wanted, more = resolver.resolve([maven.create_dependency(one) for one in _COORDINATES])
        complete = staging / "complete"
        complete.mkdir(parents=True)
        for one in (*wanted, *(one for one in more if one.scope in _SCOPES)):
            path = one.artifact.resolve()
            path.replace(complete / path.name)
        complete.rename(jars)
    except (requests.RequestException, RuntimeError, OSError) as error:
        raise OpsError(f"Kafka's tools can't be downloaded: {error}", where="Maven Central") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return jars
