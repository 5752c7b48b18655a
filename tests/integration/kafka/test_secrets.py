"""The questions are asked with what the processes of the host have: their variables, their env file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ops.core.asking import Answer, Ask, Question
from ops.sandbox.shared import SharedKafka


def ask(question: Question) -> Answer:
    done = subprocess.run(
        [sys.executable, "-m", "ops.kafka"],
        input=question.encode(),
        env={name: value for name, value in os.environ.items() if not name.startswith("KARAFKA_")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Answer.decode(done.stdout)


def test_the_env_file_of_the_host_wins_over_the_settings_variables(tmp_path: Path, kafka: SharedKafka) -> None:
    # Given a host whose env file names the brokers, beside a variable of the settings that is wrong
    topic = kafka.unique("secrets")
    kafka.create_topics({topic: 3})
    secrets = tmp_path / "karafka.env"
    secrets.write_text(f"KARAFKA_BROKERS={kafka.bootstrap}\n")
    secrets.chmod(0o600)
    # When it is asked
    found = ask(Question(Ask.TOPICS, (topic,), env={"KARAFKA_BROKERS": "127.0.0.1:9"}, env_file=str(secrets)))
    # Then it has asked where the env file says
    assert found.topics == {topic: 3}, found.error


def test_an_env_file_that_others_may_read_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    # Given an env file of mode 0644
    secrets = tmp_path / "karafka.env"
    secrets.write_text("KARAFKA_SASL_PASSWORD=hunter2\n")
    secrets.chmod(0o644)
    # Then that is said, without its contents
    found = ask(Question(Ask.TOPICS, ("topic",), env_file=str(secrets)))
    assert "mode 0644" in found.error
    assert "hunter2" not in found.error
    assert found.exit_code == 1
