"""How the brokers' variables are read."""

from __future__ import annotations

import socket
import time

import pytest

from ops.core.brokers import Brokers
from ops.core.errors import SettingsError, UnreachableError
from ops.core.knock import RefusedError
from ops.sandbox.ports import free_port
from tests.unit.core.test_knock import answering, framed

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
    with answering([framed(b"\0" * 8)]) as address:
        Brokers.at(f"127.0.0.1:{free_port()},{address}").wait(5)


def test_one_that_keeps_silent_leaves_time_for_the_others() -> None:
    # Given a broker that takes connections and says nothing, before one that answers
    with socket.create_server(("127.0.0.1", 0)) as silent, answering([framed(b"\0" * 8)]) as address:
        Brokers.at(f"127.0.0.1:{silent.getsockname()[1]},{address}").wait(1)


def test_who_asks_once_gives_up_soon_where_nobody_listens_and_waits_for_who_is_silent() -> None:
    # Given addresses that cannot be right
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"no broker answered within 0.2 s: .*refused; no-such-host.invalid:1: "):
        Brokers.at(f"127.0.0.1:{free_port()},no-such-host.invalid:1").wait(30, refused_seconds=0.2)
    assert time.monotonic() - began < 15
    # Given one that is silent, as one that is busy
    late = pytest.raises(UnreachableError, match=r"no broker answered within 0.6 s: .*timed out")
    with socket.create_server(("127.0.0.1", 0)) as silent, late:
        Brokers.at(f"127.0.0.1:{silent.getsockname()[1]}").wait(0.6, refused_seconds=0.1)


def test_what_is_no_broker_is_refused_at_once_without_any_security_too() -> None:
    refused = pytest.raises(RefusedError, match="something else than Kafka answered")
    with answering([b"SSH-2.0-OpenSSH_9.2\r\n"]) as address, refused:
        Brokers.at(address).wait(30)


@pytest.mark.parametrize("nobody", ["127.0.0.1:1", "no-such-host.invalid:9092", "127.0.0.1:99999"])
def test_brokers_that_do_not_listen_are_given_up_in_time(nobody: str) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=f"no broker answered within 0.3 s: {nobody}: "):
        Brokers.at(nobody).wait(0.3)
    assert time.monotonic() - began < 10
