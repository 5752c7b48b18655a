"""Topics as a real cluster shows them, and the one-shot command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ops.core.asking import Answer, Ask, Question
from ops.core.brokers import Brokers
from ops.core.errors import UnreachableError
from ops.core.protocol import PROTOCOL
from ops.kafka.connection import Cluster
from ops.kafka.topics import partition_counts
from ops.sandbox.ports import free_port
from ops.sandbox.shared import SharedKafka

pytestmark = pytest.mark.kafka


def _ask(text: str, brokers: str) -> tuple[int, Answer]:
    done = subprocess.run(
        [sys.executable, "-m", "ops.kafka"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"KARAFKA_BROKERS": brokers},
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, Answer.decode(done.stdout)


def test_partitions_are_counted_and_missing_topics_are_told_apart(kafka: SharedKafka, cluster: Cluster) -> None:
    # Given two topics and one that is missing
    small, large, missing = kafka.unique("small"), kafka.unique("large"), kafka.unique("missing")
    kafka.create_topics({small: 1, large: 7})

    # Then each is counted, the missing one is None and isn't made by the question
    assert partition_counts(cluster, [large, missing, small]) == {large: 7, missing: None, small: 1}
    assert partition_counts(cluster, [missing]) == {missing: None}
    assert partition_counts(cluster, []) == {}


def test_brokers_that_do_not_listen_are_said_with_the_reason_in_time() -> None:
    brokers = Brokers.at(f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}")
    with Cluster(brokers, timeout_seconds=1) as cluster, pytest.raises(UnreachableError) as caught:
        partition_counts(cluster, ["x"])
    assert caught.value.exit_code == 4
    assert str(caught.value).count("Connection refused") == 2
    assert "KARAFKA_BROKERS" in str(caught.value)


def test_the_command_answers_one_question_on_standard_output(kafka: SharedKafka) -> None:
    # Given a topic
    topic = kafka.unique("topic")
    kafka.create_topics({topic: 2})

    # When the command is asked for it, brokers from the environment
    code, answer = _ask(Question(Ask.TOPICS, (topic, "no-such-topic")).encode(), kafka.bootstrap)

    # Then it answers
    assert (code, answer.topics) == (0, {topic: 2, "no-such-topic": None})

    # When it is asked for groups, brokers from the question
    nobody = kafka.unique("nobody")
    code, answer = _ask(Question(Ask.GROUPS, (nobody,), brokers=kafka.bootstrap).encode(), "127.0.0.1:1")
    assert (code, [group.state for group in answer.groups]) == (0, ["Dead"])


@pytest.mark.parametrize(
    ("text", "brokers", "code", "said"),
    [
        ("nonsense", "127.0.0.1:1", 1, "no JSON"),
        ('{"ask": "topics"}', "127.0.0.1:1", 1, f"protocol {PROTOCOL}"),
        (f'{{"protocol": {PROTOCOL}, "ask": "weather"}}', "127.0.0.1:1", 1, "does not fit"),
        (f'{{"protocol": {PROTOCOL}, "ask": "topics"}}', "", 2, "KARAFKA_BROKERS: missing"),
        (
            f'{{"protocol": {PROTOCOL}, "ask": "topics", "names": ["x"], "timeout_seconds": 0.5}}',
            "127.0.0.1:1",
            4,
            "Connection refused",
        ),
    ],
)
def test_whatever_goes_wrong_is_in_the_answer_and_the_exit_code(text: str, brokers: str, code: int, said: str) -> None:
    exit_code, answer = _ask(text, brokers)
    assert exit_code == answer.exit_code == code
    assert said in answer.error
