"""`inv lag` as a user types it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs import in_process

BIN = Path(sys.executable).parent
PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.kafka


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a user's one-line tasks.py and no settings."""
    shutil.copy(PROJECT / "tasks.py", tmp_path)
    return tmp_path


def environment(kafka: str) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("KARAFKA_", "FABRIC_"))}
    return {**own, "KARAFKA_BROKERS": kafka, "PYTHONUNBUFFERED": "1"}


def inv(project: Path, brokers: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return in_process.inv(project, "lag", *arguments, code=None, env=environment(brokers))


@pytest.fixture
def two_groups(project: Path, kafka: SharedKafka) -> tuple[str, str, str]:
    """An app of two groups; the first has committed one of three messages in its topic of two partitions."""
    from kafka import KafkaAdminClient, KafkaProducer, OffsetAndMetadata, TopicPartition

    name = kafka.unique("lag").replace("-", "_")
    first, second = f"{name}_first", f"{name}_second"
    kafka.create_topics({name: 2})
    (project / "own_app.py").write_text(
        "from ops.consumer import App, Controller\n"
        "class OneController(Controller):\n    def perform(self):\n        pass\n"
        f"app = App('{name}')\n"
        f"app.topic('{name}', controller=OneController, group='{first}')\n"
        f"app.topic('{name}_other', controller=OneController, group='{second}')\n"
    )
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    for _ in range(3):
        producer.send(name, b"x", partition=0)
    producer.flush(30)
    producer.close()
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)

    def committed() -> bool:
        offsets = {TopicPartition(name, number): OffsetAndMetadata(1 - number, "", -1) for number in range(2)}
        try:
            return not any(error.errno for error in admin.alter_group_offsets(first, offsets).values())
        except Exception:  # noqa: BLE001 - a fresh cluster has no coordinator yet
            return False

    assert Deadline(30).poll(committed, every=0.2)
    admin.close()
    return name, first, second


def test_the_groups_of_the_application_are_shown_and_unknown_lag_is_not_zero(
    project: Path, kafka: SharedKafka, two_groups: tuple[str, str, str]
) -> None:
    # Given an app whose first group is behind, and whose second has never been seen
    name, first, second = two_groups
    # When its lag is asked for
    done = inv(project, kafka.bootstrap, "--app", "own_app:app")
    # Then both are in the table, the second unknown, which the exit code says too
    assert done.returncode == 4, done.stderr
    heading, *rows = (line.split() for line in done.stdout.splitlines())
    assert heading == ["GROUP", "STATE", "TOPIC", "PARTITIONS", "COMMITTED", "END", "LAG", "MEMBERS"]
    assert rows == [[first, "Empty", name, "2", "1", "3", "2", "0"], [second, "Dead", "-", "0", "?", "?", "?", "0"]]
    # And one of them can be asked for by itself
    done = inv(project, kafka.bootstrap, "--group", first)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
    # And as JSON, with every partition
    (group,) = json.loads(inv(project, kafka.bootstrap, "--group", first, "--json").stdout)["groups"]
    assert (group["group"], group["state"], group["lag"]) == (first, "Empty", 2)
    assert [(one["partition"], one["committed"], one["end"], one["lag"]) for one in group["partitions"]] == [
        (0, 1, 3, 2),
        (1, 0, 0, 0),
    ]


def test_groups_of_a_foreign_command_come_from_the_settings(
    project: Path, kafka: SharedKafka, two_groups: tuple[str, str, str]
) -> None:
    # Given a project without an app of its own
    _, first, _ = two_groups
    (project / "fabric.yaml").write_text(f"karafka:\n  kafka: {{brokers: ['{kafka.bootstrap}'], groups: [{first}]}}\n")
    # Then the groups that its settings name are shown
    done = inv(project, "", "--json")
    assert done.returncode == 0, done.stderr
    assert [group["group"] for group in json.loads(done.stdout)["groups"]] == [first]


def test_what_cannot_be_asked_is_said_in_one_text(project: Path) -> None:
    # Given brokers that nobody listens on, and command lines that make no sense
    for arguments, code, said in (
        (("--group", "x"), 4, "127.0.0.1:9"),
        (("--watch", "--json"), 2, "--watch"),
        (("--app", "nowhere:app"), 2, "nowhere"),
    ):
        done = inv(project, "127.0.0.1:9", *arguments)
        # Then it ends with the code that belongs to it, without a traceback
        assert done.returncode == code, done
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def shows_twice(output: int, word: bytes) -> bool:
    """Wait until a word has come twice."""
    seen = b""

    def look() -> bool:
        nonlocal seen
        seen += os.read(output, 4096)
        return seen.count(word) >= 2

    return bool(Deadline(30).poll(look))


def test_a_watched_table_renews_itself_until_ctrl_c(
    project: Path, kafka: SharedKafka, two_groups: tuple[str, str, str]
) -> None:
    # Given a live table, off a terminal and on one
    _, first, _ = two_groups
    for terminal in (False, True):
        output: Any = (project / "output").open("wb+")
        inside, outside = pty.openpty() if terminal else (-1, output.fileno())
        process = subprocess.Popen(
            [BIN / "inv", "lag", "--group", first, "--watch"], cwd=project, stdin=subprocess.DEVNULL, stdout=outside,
            env={**environment(kafka.bootstrap), "TERM": "xterm", "COLUMNS": "120"},
        )  # fmt: skip
        try:
            # When it has shown the group twice
            with (project / "output").open("rb") as written:
                assert shows_twice(inside if terminal else written.fileno(), first.encode())
            # Then Ctrl-C ends it, and that is no failure
            process.send_signal(signal.SIGINT)
            assert process.wait(15) == 0
        finally:
            process.kill()
            process.wait()
            output.close()
            if terminal:
                os.close(inside)
                os.close(outside)
