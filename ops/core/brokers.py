"""How the brokers are reached: KARAFKA_BROKERS and the security variables, read alike by every client."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ops.core.amounts import in_seconds
from ops.core.broker_address import trouble
from ops.core.deadline import Deadline
from ops.core.errors import SettingsError, UnreachableError
from ops.core.knock import RefusedError, knock
from ops.core.variables import warn_of_unknown

VARIABLE = "KARAFKA_BROKERS"
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
CONNECT_SECONDS = 5.0  # that who asks once waits for a broker
REFUSED_SECONDS = 2.0  # that it waits where no address can be right: nobody listens, there is no such name
_AS_WRITTEN = ("sasl_username", "sasl_password")  # a blank at an end is a part of it
_CONNECT_SECONDS = 3.0
_RETRY_SECONDS = 0.25


@dataclass(frozen=True)
class Brokers:
    """Where the cluster is and how its clients prove who they are.

    Attributes
    ----------
    addresses : host:port of one or more brokers (KARAFKA_BROKERS, separated by commas).
    security_protocol ... ssl_keyfile : as Kafka's clients name them; KARAFKA_SECURITY_PROTOCOL and so on.
    """

    addresses: tuple[str, ...]
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    ssl_cafile: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""

    def __str__(self) -> str:
        return ",".join(self.addresses)

    @classmethod
    def at(cls, addresses: str) -> Brokers:
        """Give brokers without security from `host:port,host:port`.

        Raises
        ------
        SettingsError : it is none of that kind.
        """
        return cls(_addresses(addresses))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], addresses: str = "") -> Brokers:
        """Read and check the variables.

        A variable of our prefix that has no meaning is warned of in the log.

        Parameters
        ----------
        addresses : instead of KARAFKA_BROKERS; security comes from the environment alone.

        Raises
        ------
        SettingsError : a variable is missing or makes no sense; it names the variable.
        """
        names = [item.name for item in fields(cls) if item.name != "addresses"]
        warn_of_unknown(environ)
        given = {name: environ.get(f"KARAFKA_{name.upper()}", "") for name in names}
        given = {name: value if name in _AS_WRITTEN else value.strip() for name, value in given.items()}
        brokers = cls(
            _addresses(addresses or environ.get(VARIABLE, "")),
            **{name: value for name, value in given.items() if value},
        )
        if brokers.security_protocol not in PROTOCOLS:
            raise _wrong(
                "security_protocol", f"must be one of {', '.join(PROTOCOLS)}, got {brokers.security_protocol!r}"
            )
        if brokers.security_protocol.startswith("SASL"):
            if brokers.sasl_mechanism not in MECHANISMS:
                raise _wrong(
                    "sasl_mechanism", f"must be one of {', '.join(MECHANISMS)}, got {brokers.sasl_mechanism!r}"
                )
            for name in ("sasl_username", "sasl_password"):
                if not getattr(brokers, name):
                    raise _wrong(name, f"is needed by {brokers.security_protocol}")
        return brokers

    def options(self) -> dict[str, Any]:
        """Give the options that every client of kafka-python shares."""
        named = {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_cafile": self.ssl_cafile,
            "ssl_certfile": self.ssl_certfile,
            "ssl_keyfile": self.ssl_keyfile,
        }
        return {
            "bootstrap_servers": list(self.addresses),
            "security_protocol": self.security_protocol,
            **{name: value for name, value in named.items() if value},
        }

    def wait(
        self,
        timeout_seconds: float,
        waiting: Callable[[str], None] = lambda _: None,
        *,
        refused_seconds: float = math.inf,
    ) -> None:
        """Wait until one of them lets a client in; before a client is made, whose failed attempts leak sockets.

        Parameters
        ----------
        refused_seconds : for how long it is tried where nobody listens at any address, or there is no such name.
        waiting : is told after each round in vain what is wrong with each address.

        Raises
        ------
        RefusedError : those that answer let nobody in with these settings.
        UnreachableError : none did in time; it says why of each.
        """
        deadline, nobody = Deadline(timeout_seconds), Deadline(min(timeout_seconds, refused_seconds))
        problems: dict[str, str] = {}
        given_up = False

        def settled() -> bool:
            nonlocal given_up
            refused: RefusedError | None = None
            hopeless = True
            for number, address in enumerate(self.addresses):
                share = deadline.remaining / (len(self.addresses) - number)  # a silent one leaves time for the others
                try:
                    knock(self, address, max(0.1, min(_CONNECT_SECONDS, share)))
                except RefusedError as error:
                    refused = error
                except (OSError, OverflowError) as error:
                    problems[address] = str(getattr(error, "strerror", None) or error or "no answer")
                    hopeless = hopeless and isinstance(error, (ConnectionRefusedError, socket.gaierror, OverflowError))
                else:
                    return True
            if refused is not None:
                raise refused
            waiting(_listed(problems))
            given_up = hopeless and nobody.expired
            return given_up

        if not deadline.poll(settled, every=_RETRY_SECONDS) or given_up:
            patience = nobody.seconds if given_up else timeout_seconds
            raise UnreachableError(
                f"no broker answered within {in_seconds(patience)}: {_listed(problems)}",
                where=VARIABLE,
                hint="check the addresses and that the brokers run",
            )


def _listed(problems: Mapping[str, str]) -> str:
    return "; ".join(f"{address}: {problem}" for address, problem in problems.items())


def _addresses(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise SettingsError("missing", where=VARIABLE, hint=f"for example {VARIABLE}=kafka1:9092,kafka2:9092")
    for address in found:
        if wrong := trouble(address):
            raise SettingsError(wrong, where=VARIABLE)
    return found


def _wrong(name: str, expectation: str) -> SettingsError:
    return SettingsError(expectation, where=f"KARAFKA_{name.upper()}")
