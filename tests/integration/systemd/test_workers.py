"""Processes of two kinds by one template unit: a server takes messages, a worker performs their jobs."""

from __future__ import annotations

import json

import pytest

from ops.core.deadline import Deadline
from ops.core.protocol import Verb
from ops.core.states import State
from tests.labs.unit_relays import MakeUnitRelays

pytestmark = [pytest.mark.kafka, pytest.mark.soak]

PATIENCE = 60.0
APP = """
import os
from ops.consumer import App, Controller, Responder, topic
from ops.jobs import BaseWorker, JobsBackend

NAME = os.environ["RELAY_NAME"]

class RelayController(Controller):
    pass

class RelayResponder(Responder):
    topics = (topic(f"{NAME}-out"),)

    def respond(self, answer):
        self.respond_to(f"{NAME}-out", answer)

class RelayWorker(BaseWorker):
    def perform(self):
        self.respond_with({"asked": self.params["asked"], "by": os.environ["KARAFKA_PROCESS"]})

app = App(NAME, backend=JobsBackend(4))
app.topic(f"{NAME}-in", controller=RelayController, worker=RelayWorker, start_from_beginning=True)
"""


def test_the_workers_unit_performs_the_jobs(relays_of: MakeUnitRelays) -> None:
    from kafka import KafkaConsumer, KafkaProducer

    # Given an application with one server and one worker, both kept by systemd
    relays = relays_of(1, workers=1)
    relays.application.release("jobs", {"relay.py": APP})
    started = relays.application.ask(Verb.START).processes
    assert [(one.name, one.state) for one in started] == [("karafka-0", State.RUNNING), ("worker-0", State.RUNNING)], (
        f"{started}\n{relays.application.journal(0)}\n{relays.application.journal(1)}"
    )
    addresses = list(relays.brokers.addresses)
    answers = KafkaConsumer(f"{relays.name}-out", bootstrap_servers=addresses, auto_offset_reset="earliest")
    producer = KafkaProducer(bootstrap_servers=addresses)
    try:
        # When messages come
        for number in range(3):
            producer.send(f"{relays.name}-in", json.dumps({"asked": number}).encode())
        producer.flush(PATIENCE)
        said: list[dict[str, object]] = []

        def all_answered() -> bool:
            said.extend(json.loads(one.value) for some in answers.poll(200).values() for one in some)
            return len(said) >= 3

        # Then the worker performs the job of each
        assert Deadline(PATIENCE).poll(all_answered), (said, relays.application.journal(1))
        assert sorted((one["asked"], one["by"]) for one in said) == [(number, "worker-0") for number in range(3)]
    finally:
        producer.close()
        answers.close()
    # And a restart keeps each what it is
    again = relays.application.ask(Verb.RESTART).processes
    assert all(one.ok for one in again), again
    assert [sorted((one.consumer or {}).get("groups", {})) for one in map(relays.status, (0, 1))] == [
        [relays.name],
        [f"{relays.name}.jobs"],
    ]
