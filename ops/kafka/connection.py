"""One admin client, kept open while somebody asks; every question has a deadline."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from kafka import KafkaAdminClient
from kafka.errors import BrokerResponseError, KafkaError

from ops.core.amounts import in_seconds, named
from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.kafka.errors import ClusterError

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0
_RETRY_SECONDS = 0.1

T = TypeVar("T")


class Cluster:
    """A connection to the cluster, made at the first question; use it in one thread, close it or use `with`.

    Parameters
    ----------
    timeout_seconds : how long each question may take, connecting included.
    until : when all questions together have to be answered.
    refused_seconds : for how long it tries to connect where nobody listens.
    """

    def __init__(
        self,
        brokers: Brokers,
        timeout_seconds: float = TIMEOUT_SECONDS,
        *,
        until: Deadline | None = None,
        refused_seconds: float = math.inf,
    ) -> None:
        self._brokers = brokers
        self._timeout = timeout_seconds
        self._until = until
        self._refused = refused_seconds
        self._admin: Any = None

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later question makes a new one."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def ask(self, question: Callable[[Any], T]) -> T:
        """Put one question to the admin client, again while the cluster is not ready for it.

        A fresh cluster has no coordinator yet, a moving one has it elsewhere, a restarting one is away: all of
        these pass, so the question is repeated until the deadline.

        Raises
        ------
        UnreachableError : no usable answer until the deadline; RefusedError at once.
        ClusterError : the brokers refuse the question itself.
        """
        deadline = Deadline(self._timeout if self._until is None else min(self._timeout, self._until.remaining))
        while True:
            try:
                return question(self._connected(deadline))
            except KafkaError as error:
                if not error.retriable:
                    raise ClusterError(named(error), where=str(self._brokers)) from error
                if deadline.expired:
                    raise UnreachableError(
                        f"no answer within {in_seconds(deadline.seconds)}: {named(error)}",
                        where=str(self._brokers),
                        hint="check that the brokers run, and KARAFKA_SECURITY_PROTOCOL",
                    ) from error
                log.debug("asking again: %s", error)
                if isinstance(error, BrokerResponseError):
                    self._forget_coordinators()
                else:
                    self.close()  # connect anew, when a broker listens again
            Deadline(_RETRY_SECONDS).poll(lambda: False, every=_RETRY_SECONDS)

    def ports(self) -> tuple[int, ...]:
        """Give the ports that the brokers listen on, by the answers so far; no request."""
        brokers = self._admin._manager.cluster.brokers() if self._admin is not None else ()
        return tuple(sorted({int(one.port) for one in brokers}))

    def _connected(self, deadline: Deadline) -> Any:
        if self._admin is None:
            self._brokers.wait(deadline.remaining, refused_seconds=self._refused)
            # Not by the constructor alone: where it fails, only the half-made object can end its thread.
            admin: Any = KafkaAdminClient.__new__(KafkaAdminClient)
            try:
                admin.__init__(
                    **self._brokers.options(),
                    client_id="karafka-ops",
                    bootstrap_timeout_ms=max(500, int(deadline.remaining * 1000)),
                    request_timeout_ms=int(self._timeout * 1000),
                )
            except KafkaError:
                admin._client.close()
                admin._net.stop()
                raise
            self._admin = admin
        return self._admin

    def _forget_coordinators(self) -> None:
        """kafka-python 3.0.12 keeps the coordinators it once found, also those that have moved."""
        self._admin._manager.cluster._coordinators.clear()
