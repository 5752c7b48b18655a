"""How the brokers' variables are read."""

from __future__ import annotations

import socket
import time

import pytest

from ops.core.brokers import Brokers
from ops.core.errors import SettingsError, UnreachableError
from ops.sandbox.ports import free_port

SECURED = {
    "KARAFKA_BROKERS": " kafka1:9092, [::1]:9093 ,",
    "KARAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KARAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KARAFKA_SASL_USERNAME": "ops",
    "KARAFKA_SASL_PASSWORD": "hush",
    "KARAFKA_SSL_CAFILE": "/etc/ssl/kafka.pem",
}


def test_all_variables_become_options_of_the_client_and_the_password_is_never_shown() -> None:
    # Given brokers with SASL over TLS
    brokers = Brokers.from_environment(SECURED)

    # Then a client is told everything
    assert brokers.options() == {
        "bootstrap_servers": ["kafka1:9092", "[::1]:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ops",
        "sasl_plain_password": "hush",
        "ssl_cafile": "/etc/ssl/kafka.pem",
    }

    # And nobody reads the password in passing
    assert "hush" not in repr(brokers) + str(brokers)


def test_brokers_without_security_need_their_addresses_alone() -> None:
    assert Brokers.from_environment({"KARAFKA_BROKERS": "a:1"}) == Brokers.at("a:1")
    assert Brokers.from_environment({"KARAFKA_BROKERS": "a:1"}, "b:2").addresses == ("b:2",)


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"KARAFKA_BROKERS": ""}, "KARAFKA_BROKERS"),
        ({"KARAFKA_BROKERS": "kafka1"}, "KARAFKA_BROKERS"),
        ({"KARAFKA_BROKERS": "http://kafka1:9092/"}, "KARAFKA_BROKERS"),
        ({"KARAFKA_SECURITY_PROTOCOL": "TLS"}, "KARAFKA_SECURITY_PROTOCOL"),
        ({"KARAFKA_SASL_MECHANISM": ""}, "KARAFKA_SASL_MECHANISM"),
        ({"KARAFKA_SASL_USERNAME": ""}, "KARAFKA_SASL_USERNAME"),
        ({"KARAFKA_SASL_PASSWORD": ""}, "KARAFKA_SASL_PASSWORD"),
    ],
)
def test_what_makes_no_sense_is_said_by_its_variable(change: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable) as caught:
        Brokers.from_environment(SECURED | change)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("host", ["kafka..example", ".kafka", f"{'x' * 64}.example"])
def test_every_part_of_a_brokers_name_has_to_have_a_length(host: str) -> None:
    with pytest.raises(SettingsError, match="KARAFKA_BROKERS: expected host:port, got"):
        Brokers.from_environment({"KARAFKA_BROKERS": f"kafka1:9092,{host}:9092"})


@pytest.mark.parametrize("host", ["kafka1.example.", "x" * 63, "bücher.example", "[::1]", "kafka_1"])
def test_a_name_that_a_host_may_have_is_taken(host: str) -> None:
    assert Brokers.at(f"{host}:9092").addresses == (f"{host}:9092",)


def test_one_broker_that_listens_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Brokers.at(f"127.0.0.1:{free_port()},127.0.0.1:{server.getsockname()[1]}").wait(5)


@pytest.mark.parametrize("nobody", ["127.0.0.1:1", "no-such-host.invalid:9092", "127.0.0.1:99999"])
def test_brokers_that_do_not_listen_are_given_up_in_time(nobody: str) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=f"no broker answered within 0.3 s: {nobody}: "):
        Brokers.at(nobody).wait(0.3)
    assert time.monotonic() - began < 10
