"""Settings from the environment, checked whole."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.consumer.settings import ConsumerSettings, variable_of
from ops.core import envfile, variables
from ops.core.brokers import Brokers
from ops.core.errors import SettingsError

BROKERS = {"KARAFKA_BROKERS": "kafka1:9092, kafka2:9093"}


def test_defaults_need_the_brokers_alone() -> None:
    settings = ConsumerSettings.from_environment(BROKERS)
    assert settings.brokers.addresses == ("kafka1:9092", "kafka2:9093")
    assert settings.message_timeout_seconds < settings.max_poll_interval_seconds
    assert settings.heartbeat_interval_seconds * 3 <= settings.session_timeout_seconds
    with pytest.raises(SettingsError, match="KARAFKA_BROKERS"):
        ConsumerSettings.from_environment({})


def test_every_setting_has_its_variable() -> None:
    settings = ConsumerSettings.from_environment(
        BROKERS
        | {
            "KARAFKA_INSTANCE_ID": "sources.web1.karafka.0",
            "KARAFKA_SESSION_TIMEOUT_SECONDS": "12.5",
            "KARAFKA_RETRIES": "0",
            "KARAFKA_STATUS_FILE": "/run/status.json",
            "KARAFKA_ENV": "production",
            "UNRELATED": "x",
        }
    )
    assert settings.instance_id == "sources.web1.karafka.0"
    assert settings.session_timeout_seconds == 12.5
    assert settings.retries == 0
    assert settings.status_file == "/run/status.json"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KARAFKA_MESSAGE_TIMEOUT_SECONDS", "300"),
        ("KARAFKA_MESSAGE_TIMEOUT_SECONDS", "0"),
        ("KARAFKA_SESSION_TIMEOUT_SECONDS", "1"),
        ("KARAFKA_HEARTBEAT_INTERVAL_SECONDS", "-1"),
        ("KARAFKA_CONNECT_TIMEOUT_SECONDS", "nan"),
        ("KARAFKA_CONNECT_TIMEOUT_SECONDS", "inf"),
        ("KARAFKA_RETRIES", "1.5"),
        ("KARAFKA_INSTANCE_ID", "a b"),
        ("KARAFKA_SECURITY_PROTOCOL", "TLS"),
        ("KARAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ConsumerSettings.from_environment(BROKERS | {variable: value})
    assert caught.value.where.startswith("KARAFKA_")


def test_the_password_is_shown_nowhere() -> None:
    secured = {
        "KARAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KARAFKA_SASL_MECHANISM": "PLAIN",
        "KARAFKA_SASL_USERNAME": "me",
        "KARAFKA_SASL_PASSWORD": "geheim",
    }
    settings = ConsumerSettings.from_environment(BROKERS | secured)
    assert "geheim" not in repr(settings)
    assert settings.brokers.options()["sasl_plain_password"] == "geheim"


@given(st.text(max_size=20))
def test_no_text_for_a_number_gets_past_the_check(text: str) -> None:
    refused = None
    seconds = 1.0
    try:
        environ = BROKERS | {variable_of("connect_timeout_seconds"): text}
        seconds = ConsumerSettings.from_environment(environ).connect_timeout_seconds
    except SettingsError as error:
        refused = error.where
    assert refused in (None, "KARAFKA_CONNECT_TIMEOUT_SECONDS")
    assert 0 < seconds < float("inf")


def test_a_dynamic_member_that_died_holds_the_others_up_for_ten_seconds_at_most() -> None:
    # Given a consumer without an instance id, and one with
    dynamic = ConsumerSettings.from_environment({"KARAFKA_BROKERS": "k:9092"})
    static = ConsumerSettings.from_environment(
        {"KARAFKA_BROKERS": "k:9092", "KARAFKA_INSTANCE_ID": "app.web1.karafka.0"}
    )
    # Then the dynamic one's session is shorter than a start may take, the static one's longer than a restart takes
    assert dynamic.session_timeout_seconds == 10
    assert static.session_timeout_seconds == 60
    # And either is what the environment says
    given = {"KARAFKA_BROKERS": "k:9092", "KARAFKA_SESSION_TIMEOUT_SECONDS": "45"}
    assert ConsumerSettings.from_environment(given).session_timeout_seconds == 45


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("KARAFKA_SASL_PASWORD", "KARAFKA_SASL_PASSWORD"),
        ("KARAFKA_BROKER", "KARAFKA_BROKERS"),
        ("KARAFKA_SESSION_TIMEOUT", "KARAFKA_SESSION_TIMEOUT_SECONDS"),
        ("KARAFKA_SSL_CA_FILE", "KARAFKA_SSL_CAFILE"),
        ("KARAFKA_sasl_username", ""),
        ("KARAFKA_WHATEVER_ELSE", ""),
    ],
)
def test_a_variable_without_a_meaning_is_said_once_with_the_nearest_one(
    name: str, nearest: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a variable whose name nobody reads
    monkeypatch.setattr(variables, "_said", set())
    # When the settings are read twice
    for _ in range(2):
        ConsumerSettings.from_environment({"KARAFKA_BROKERS": "k:9092", name: "hidden", "OTHER": "x"})
    # Then it is said once, with what may have been meant, and without its value
    (said,) = [one.getMessage() for one in caplog.records if one.name == "ops.core.variables"]
    assert said.startswith(f"{name} has no meaning here")
    assert said.endswith(f"did you mean {nearest}?" if nearest else "no effect")
    assert "hidden" not in said


def test_every_variable_that_the_source_names_has_a_meaning() -> None:
    # Given all names in our own source, and those that are made of the settings' names
    root = Path(__file__).parents[3]
    texts = [
        path.read_text() for path in (*(root / "ops").rglob("*.py"), *(root / "templates").rglob("*")) if path.is_file()
    ]
    named = set(re.findall(r"(?<![A-Z_])KARAFKA_[A-Z][A-Z_]*[A-Z]\b", "".join(texts)))
    made = {variable_of(one.name) for one in (*fields(ConsumerSettings), *fields(Brokers)) if one.name != "addresses"}
    # Then each of them is known
    assert (named | made) - variables.NAMES == set()


def test_a_blank_at_an_end_of_a_password_is_a_part_of_it() -> None:
    # Given a password and a user in quotes, in an env file
    text = 'KARAFKA_SASL_USERNAME=" app "\nKARAFKA_SASL_PASSWORD=\'secret \'\nKARAFKA_SASL_MECHANISM="PLAIN "\n'
    given = {"KARAFKA_BROKERS": "k:9092", "KARAFKA_SECURITY_PROTOCOL": "SASL_SSL", **envfile.parse(text)}
    # When they are read
    brokers = Brokers.from_environment(given)
    # Then they are as they were written
    assert (brokers.sasl_username, brokers.sasl_password, brokers.sasl_mechanism) == (" app ", "secret ", "PLAIN")
