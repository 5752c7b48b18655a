"""The evidence of a warm restart under load tells the truth: held against what the consumers' answers say."""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree

from ops.core.deadline import Deadline
from ops.core.evidence import Evidence, Outcome, PhaseKind
from ops.core.protocol import ProcessSpec, Request, Response, Verb
from ops.fleet.conversation import ask
from ops.fleet.evidence import Chronicle
from ops.fleet.plan import HostAction
from ops.fleet.transport import Target
from ops.fleet.transport.local import LocalTransport
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.render.timeline import timeline
from tests.labs.handover_lab import HandoverLab, MakeHandoverLab

AGENT = (sys.executable, "-P", "-m", "ops.node")


def told(chronicle: Chronicle, verb: Verb, *specs: ProcessSpec) -> Response:
    """Ask the agent, and tell the chronicle what it says meanwhile."""
    action = HostAction(Target("h1", "h1"), AGENT, Request(verb, "h1", specs), 120.0)
    return ask(LocalTransport(), action, lambda event: chronicle.event("h1", event))


def processed(lab: HandoverLab) -> int:
    """Count what the processes say that they have done."""
    groups = [(report.consumer or {}).get("groups", {}).get(lab.name, {}) for report in lab.ask(Verb.STATUS)]
    return sum(group.get("processed", 0) for group in groups)


def test_the_evidence_of_warm_restarts_tells_what_the_answers_tell(lab_of: MakeHandoverLab) -> None:
    # Given two processes at work on four partitions, undisturbed for a while
    lab = lab_of(processes=2, partitions=4)
    generation = lab.settled_generation()
    lab.traffic(100)
    head = Evidence(lab.name, "test", "rolling", "ann", 7, 1_800_000_000.0, 0.0, Outcome.DONE, 0)
    assert Deadline(60).poll(lambda: processed(lab) > 150, every=0.2)
    chronicle = Chronicle(head)
    with Cluster(lab.brokers) as cluster:
        chronicle.expect("h1", told(chronicle, Verb.STATUS, *lab.specs).processes)
        chronicle.generations({lab.name: generation})
        chronicle.look(observe(cluster, [lab.name]))
        # When both are restarted, one after the other
        for batch, spec in enumerate(lab.specs, start=1):
            chronicle.finished("h1", batch, told(chronicle, Verb.RESTART, spec).processes)
            chronicle.look(observe(cluster, [lab.name]))
    chronicle.generations({lab.name: lab.settled_generation()})
    tally = lab.end_traffic()
    assert tally.exact, tally
    answer = told(chronicle, Verb.PROGRESS, *lab.specs).progress
    assert answer is not None
    chronicle.progress("h1", answer)
    evidence = chronicle.evidence(Outcome.DONE, 0)

    # Then each slot's phases are there, as the agent timed them
    for slot in evidence.slots:
        assert slot.ok, slot
        assert slot.warm
        assert slot.old_pid != slot.new_pid
        assert [phase.kind for phase in slot.phases] == [
            PhaseKind.PREPARING,
            PhaseKind.DRAINING,
            PhaseKind.TAKING_OVER,
        ]
        assert all(0 < phase.start < evidence.seconds and phase.seconds >= 0 for phase in slot.phases)
    # And each partition has its old and its new process, and what it stood still between them
    assert [one.number for one in evidence.partitions] == [0, 1, 2, 3]
    for one in evidence.partitions:
        slot = next(slot for slot in evidence.slots if slot.name == one.slot)
        assert [span.pid for span in one.spans if span.pid in (slot.old_pid, slot.new_pid)][-2:] == [
            slot.old_pid,
            slot.new_pid,
        ]
        old, new = one.spans[-2:]
        assert any(abs(stall.end - new.start) < 0.001 and stall.seconds > 0 for stall in one.stalls)
        drain = slot.phases[1]
        assert old.end < new.start
        assert drain.start - 0.3 < new.start < evidence.seconds
        # And no gap in the answers is longer than what the evidence says, nor the other way round
        longest = max([stall.gap_seconds for stall in one.stalls], default=0.0)
        assert longest < tally.longest_gap_seconds[one.number] + 0.15, one
        waited = max([stall.seconds for stall in one.stalls] + [one.undisturbed_seconds or 0.0])
        assert waited > tally.longest_wait_seconds[one.number] - 0.15, one
    # And there was no rebalance, and nothing is unknown
    assert evidence.rebalances == 0
    assert evidence.summary()["longest_stall_seconds"] is not None
    assert evidence.groups[0].lag_before is not None
    # And it survives being stored, and is drawn
    assert Evidence.from_json(json.loads(json.dumps(evidence.as_json()))) == evidence
    assert ElementTree.fromstring(timeline(evidence)) is not None
