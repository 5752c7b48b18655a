"""Gates and preflights on a real cluster: each thing that a rollout must not pass over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.core import observation
from ops.core.asking import Answer, Ask, Question, decode_line
from ops.core.brokers import Brokers
from ops.core.cluster import Group, Partition
from ops.core.deadline import Deadline
from ops.core.gate import Terms, generations
from ops.core.protocol import ProcessReport
from ops.core.sight import HostReport
from ops.core.standing import Process
from ops.core.states import State
from ops.core.subscriptions import subscription_changes
from ops.core.verdict import Cause, Judgement, Verdict
from ops.sandbox.ports import free_port
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import SpareKafka
from tests.labs.group_members import Heartbeat, Join, MakeWorker

pytestmark = pytest.mark.kafka

TIMEOUT_SECONDS = 10.0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as threads:
        yield threads


def _expect(group: str, *instances: str | None, **standings: Any) -> Terms:
    """Expect processes p0, p1, ... in a group; `p0=worker` adds what that one says of itself."""
    processes = []
    for number, instance in enumerate(instances):
        worker = standings.get(f"p{number}")
        own = {group: worker.standing} if worker is not None and worker.standing is not None else {}
        processes.append(Process(f"h1 p{number}", instance, (group,), standings=own))
    return Terms(tuple(processes))


def _gate(
    bootstrap: str, terms: Terms, deadline_seconds: float = 30.0, told: list[Judgement] | None = None
) -> tuple[Judgement, tuple[Group, ...]]:
    from ops.kafka.gate import watch_gate

    tell = (lambda _: None) if told is None else told.append
    return watch_gate(Brokers.at(bootstrap), terms, deadline_seconds, TIMEOUT_SECONDS, tell)


def _preflight(bootstrap: str, terms: Terms, deadline_seconds: float = 3.0) -> tuple[Judgement, tuple[Group, ...]]:
    from ops.kafka.gate import watch_preflight

    return watch_preflight(Brokers.at(bootstrap), terms, deadline_seconds, TIMEOUT_SECONDS, lambda _: None)


@contextmanager
def _producer(bootstrap: str) -> Iterator[Any]:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap, metrics_enabled=False)
    try:
        yield producer
        producer.flush(timeout=30)
    finally:
        producer.close()


def _send(bootstrap: str, topic: str, *partitions: int) -> None:
    with _producer(bootstrap) as producer:
        for partition in partitions * 3:
            producer.send(topic, b"x", partition=partition)


@pytest.fixture
def traffic(kafka: SharedKafka) -> Iterator[Callable[..., None]]:
    """Sends to partitions until the test ends."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def begin(topic: str, *partitions: int) -> None:
        def send() -> None:
            with _producer(kafka.bootstrap) as producer:
                while not stop.wait(0.2):
                    for partition in partitions:
                        producer.send(topic, b"x", partition=partition)

        threads.append(threading.Thread(target=send))
        threads[-1].start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join(30)


def _told(told: list[Judgement], cause: Cause) -> bool:
    return bool(Deadline(20).poll(lambda: any(cause in one.causes for one in told)))


def test_the_gate_waits_for_a_slow_joiner_and_names_it(
    kafka: SharedKafka, work: MakeWorker, pool: ThreadPoolExecutor
) -> None:
    # Given two expected members of a group, of which one has joined
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 4})
    work(kafka.bootstrap, group, [topic], "a").ready()
    terms = _expect(group, "a", "b")

    # When the gate's time is over before the other comes, then it is refused with its name
    refused, _ = _gate(kafka.bootstrap, terms, deadline_seconds=1)
    assert (refused.verdict, refused.causes) == (Verdict.REFUSED, {Cause.MISSING})
    assert "h1 p1 is not a member" in refused.reasons[0].text

    # When it comes while the gate waits, then it passes
    told: list[Judgement] = []
    waiting: Future[tuple[Judgement, tuple[Group, ...]]] = pool.submit(_gate, kafka.bootstrap, terms, 40, told)
    assert _told(told, Cause.MISSING)
    work(kafka.bootstrap, group, [topic], "b")
    passed, (seen,) = waiting.result(60)
    assert (passed.verdict, passed.reasons) == (Verdict.PASSED, ())
    assert {member.instance_id for member in seen.members} == {"a", "b"}


def test_a_member_that_joins_and_never_commits_is_refused(
    kafka: SharedKafka, work: MakeWorker, traffic: Callable[..., None]
) -> None:
    # Given a stable group whose only member fetches and commits nothing
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 2})
    work(kafka.bootstrap, group, [topic], "a", commits=False).ready()

    # When messages come, then the gate does not pass, and says who it is and where
    _send(kafka.bootstrap, topic, 0, 1)
    traffic(topic, 0, 1)
    refused, _ = _gate(kafka.bootstrap, _expect(group, "a"), deadline_seconds=4)
    assert (refused.verdict, refused.causes) == (Verdict.REFUSED, {Cause.UNCOMMITTED})
    assert "h1 p0" in refused.reasons[0].text
    assert refused.reasons[0].partitions == (Partition(topic, 0), Partition(topic, 1))


def test_a_wedged_partition_beside_an_idle_and_a_busy_one_is_named_alone(
    kafka: SharedKafka, work: MakeWorker, traffic: Callable[..., None]
) -> None:
    # Given a member that has worked on all partitions, and stands still in the first one now
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 3})
    _send(kafka.bootstrap, topic, 0, 1, 2)
    first = work(kafka.bootstrap, group, [topic], "a").ready()
    passed, before = _gate(kafka.bootstrap, _expect(group, "a"))
    assert passed.verdict is Verdict.PASSED
    first.stop()
    work(kafka.bootstrap, group, [topic], "a", wedged={0}).ready()

    # When messages come to the first and the second, and none to the third
    traffic(topic, 0, 1)
    terms = replace(_expect(group, "a"), before=before, max_lag=1_000_000)
    assert Deadline(20).poll(lambda: _lag(kafka.bootstrap, group, topic, 0) > 0, every=0.2)
    refused, _ = _gate(kafka.bootstrap, terms, deadline_seconds=4)

    # Then only the first is complained of
    assert (refused.verdict, refused.causes) == (Verdict.REFUSED, {Cause.WEDGED})
    assert refused.reasons[0].partitions == (Partition(topic, 0),)
    assert f"does not advance in {topic}-0" in refused.reasons[0].text

    # And with the lag that was there before as the limit, the lag is too
    refused, _ = _gate(kafka.bootstrap, replace(terms, max_lag=None), deadline_seconds=2)
    assert Cause.WEDGED in refused.causes


@pytest.mark.soak
def test_a_topic_that_nobody_made_is_refused_long_before_the_gates_time_is_over(kafka: SharedKafka, join: Join) -> None:
    # Given a group that reads a topic that is not on the cluster beside one that is
    topic, absent, group = kafka.unique("topic"), kafka.unique("absent"), kafka.unique("group")
    kafka.create_topics({topic: 1})
    join(group, [topic, absent], "app.h1.p.0")
    # When a gate may wait for a minute
    began = time.monotonic()
    refused, _ = _gate(kafka.bootstrap, _expect(group, "app.h1.p.0"), 60.0)
    # Then it refuses within seconds, for good
    assert (refused.verdict, refused.causes, refused.final) == (Verdict.REFUSED, {Cause.NO_TOPIC}, True)
    assert time.monotonic() - began < 30


def _lag(bootstrap: str, group: str, topic: str, number: int) -> int:
    from ops.kafka.connection import Cluster
    from ops.kafka.groups import observe

    with Cluster(Brokers.at(bootstrap)) as cluster:
        (seen,) = observe(cluster, [group])
    return next((one.lag or 0 for one in seen.progress if one.partition == (topic, number)), 0)


def test_an_unmanaged_consumer_is_refused_and_another_apps_member_is_not(kafka: SharedKafka, work: MakeWorker) -> None:
    # Given a group that two apps share, each with a topic of its own
    topic, other, group = kafka.unique("topic"), kafka.unique("other"), kafka.unique("group")
    kafka.create_topics({topic: 2, other: 1})
    work(kafka.bootstrap, group, [topic], "a").ready()
    work(kafka.bootstrap, group, [other], "billing.h9.karafka.0").ready()
    terms = _expect(group, "a")

    # When one of them is judged, then the other's member does not matter
    passed, _ = _gate(kafka.bootstrap, terms)
    assert passed.verdict is Verdict.PASSED

    # When somebody joins who reads its topic and whom nobody knows
    work(kafka.bootstrap, group, [topic], None).ready()

    # Then gate and preflight name it
    for judge in (_gate, _preflight):
        refused, _ = judge(kafka.bootstrap, terms, 3)
        assert refused.verdict is Verdict.REFUSED
        assert Cause.STRANGER in refused.causes
        assert "client-of-nobody" in "".join(reason.text for reason in refused.reasons)

    # And who accepts it beforehand gets through, with the fact on record
    forced, _ = _gate(kafka.bootstrap, replace(terms, accepted=(Cause.STRANGER,)))
    assert forced.verdict is Verdict.PASSED
    assert [one.cause for one in forced.overruled] == [Cause.STRANGER]


def test_two_processes_under_one_instance_id_are_found_out(kafka: SharedKafka, work: MakeWorker) -> None:
    # Given a member, by its own word too
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 1})
    first = work(kafka.bootstrap, group, [topic], "a").ready()
    terms = _expect(group, "a", p0=first)
    assert _gate(kafka.bootstrap, terms)[0].verdict is Verdict.PASSED

    # When a second process joins under its instance id and fences it
    work(kafka.bootstrap, group, [topic], "a").ready()

    # Then the preflight refuses, naming both
    refused, _ = _preflight(kafka.bootstrap, terms)
    assert (refused.verdict, refused.causes) == (Verdict.REFUSED, {Cause.DUPLICATE})
    assert first.standing is not None
    assert "h1 p0" in refused.reasons[0].text
    assert first.standing.member_id in refused.reasons[0].text
    # And the gate asks for newer records, for the first may have joined anew meanwhile
    assert _gate(kafka.bootstrap, terms)[0].verdict is Verdict.WAITING


def test_a_preflight_refuses_a_rebalancing_group_with_exit_11(kafka: SharedKafka, work: MakeWorker) -> None:
    # Given a member that does not take part in a rebalance, which another's join began
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 2})
    frozen = work(kafka.bootstrap, group, [topic], "a").ready()
    frozen.frozen.set()
    work(kafka.bootstrap, group, [topic], "b")
    terms = _expect(group, "a", "b")
    began = Deadline(20).poll(lambda: _preflight(kafka.bootstrap, terms, 0)[0].causes == {Cause.REBALANCING})
    assert began

    # When a host of the fleet is asked by the command
    question = Question(Ask.PREFLIGHT, brokers=kafka.bootstrap, deadline_seconds=1, terms=terms)
    code, lines = _command(question)

    # Then it exits with 11 and the reason, after it has told that it waits
    *judgements, answer = lines
    assert isinstance(answer, Answer)
    assert (code, answer.exit_code) == (11, 11)
    assert answer.judgement is not None
    assert (answer.judgement.verdict, answer.judgement.causes) == (Verdict.REFUSED, {Cause.REBALANCING})
    assert f"group {group} is rebalancing" in answer.judgement.reasons[0].text
    assert [one.verdict for one in judgements if isinstance(one, Judgement)] == [Verdict.WAITING]
    assert answer.groups[0].name == group
    frozen.frozen.clear()


def _command(question: Question) -> tuple[int, list[Judgement | Answer]]:
    done = subprocess.run(
        [sys.executable, "-m", "ops.kafka"],
        input=question.encode(),
        capture_output=True,
        text=True,
        timeout=120,
        env={key: value for key, value in os.environ.items() if not key.startswith("KARAFKA_")},
        check=False,
    )
    assert done.stderr == ""
    assert all(json.loads(line)["kind"] in ("judgement", "answer") for line in done.stdout.splitlines() if line)
    return done.returncode, [decode_line(line) for line in done.stdout.splitlines() if line]


@pytest.mark.usefixtures("failed_attempts")
def test_a_gate_outlives_the_brokers_restart_and_an_unreachable_cluster_is_unknown(
    spare_kafka: SpareKafka, work: MakeWorker, pool: ThreadPoolExecutor
) -> None:
    from ops.kafka.connection import Cluster
    from ops.kafka.groups import observe

    # Given a gate that waits for a second member
    topic, group = spare_kafka.unique("topic"), spare_kafka.unique("group")
    spare_kafka.create_topics({topic: 2})
    work(spare_kafka.bootstrap, group, [topic], "a").ready()
    told: list[Judgement] = []
    waiting = pool.submit(_gate, spare_kafka.bootstrap, _expect(group, "a", "b"), 120, told)
    assert _told(told, Cause.MISSING)

    # When the broker restarts, and then the member comes
    with Cluster(Brokers.at(spare_kafka.bootstrap), timeout_seconds=30) as client:
        observe(client, [group])
        spare_kafka.restart()
        work(spare_kafka.bootstrap, group, [topic], "b")
        # Then a client that was connected before is answered
        assert observe(client, [spare_kafka.unique("nobody")])[0].state == "Dead"

    # And the gate passes
    assert waiting.result(150)[0].verdict is Verdict.PASSED

    # And where nobody listens, nothing is known, which is no pass
    nowhere = f"127.0.0.1:{free_port()}"
    question = Question(Ask.PREFLIGHT, brokers=nowhere, deadline_seconds=0.5, terms=_expect("group", "a"))
    code, (*_, answer) = _command(replace(question, timeout_seconds=0.5))
    assert isinstance(answer, Answer)
    assert answer.judgement is not None
    assert (code, answer.judgement.verdict, answer.judgement.causes) == (11, Verdict.UNKNOWN, {Cause.UNREACHABLE})


def test_a_kip_848_group_passes_idle_and_is_refused_where_nothing_is_committed(
    kafka: SharedKafka, heartbeat: Heartbeat
) -> None:
    # Given a member by the new protocol
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 2})
    heartbeat(group, "a", [topic])
    terms = _expect(group, "a")

    # Then its group passes while its partitions are empty
    passed, (seen,) = _gate(kafka.bootstrap, terms, 15)
    assert passed.verdict is Verdict.PASSED, passed.reasons
    assert (seen.type, set(seen.owners)) == ("consumer", {Partition(topic, 0), Partition(topic, 1)})

    # When a message waits in one of them, then it does not
    _send(kafka.bootstrap, topic, 1)
    refused, _ = _gate(kafka.bootstrap, terms, 2)
    assert (refused.verdict, refused.causes) == (Verdict.REFUSED, {Cause.UNCOMMITTED})
    assert refused.reasons[0].partitions == (Partition(topic, 1),)


def test_an_added_topic_has_no_owner_until_the_planned_slot_leaves_the_group(
    kafka: SharedKafka, work: MakeWorker
) -> None:
    # Given two static members on one topic
    topic, added, group = kafka.unique("topic"), kafka.unique("added"), kafka.unique("group")
    kafka.create_topics({topic: 2, added: 2})
    old = [work(kafka.bootstrap, group, [topic], instance) for instance in ("a", "b")]
    terms = _expect(group, "a", "b")
    assert _gate(kafka.bootstrap, terms)[0].verdict is Verdict.PASSED
    ready, groups = _preflight(kafka.bootstrap, terms)
    assert ready.verdict is Verdict.PASSED

    # When a release reads one more, then the plan is that the last slot leaves the group at its takeover
    wanted = {group: (topic, added)}
    (change,) = subscription_changes(wanted, groups, terms.processes)
    assert (change.added, change.removed, change.instance_ids) == ((added,), (), ("b",))

    # When both are handed over without, then the gate finds the new topic without owner
    for worker in old:
        worker.stop()
    new = [work(kafka.bootstrap, group, [topic, added], instance) for instance in ("a", "b")]
    refused, (seen,) = _gate(kafka.bootstrap, replace(terms, topics=wanted), 4)
    assert (refused.verdict, refused.causes) == (Verdict.REFUSED, {Cause.UNOWNED})
    assert refused.reasons[0].partitions == (Partition(added, 0), Partition(added, 1))
    # And what was left so is still a change to be made
    assert [one.instance_ids for one in subscription_changes(wanted, [seen], terms.processes)] == [("b",)]

    # When that slot is taken over with its member removed
    new[1].stop()
    question = Question(Ask.REMOVE_MEMBERS, (group,), kafka.bootstrap, instances=("b", "nobody"))
    code, (answer,) = _command(question)
    assert isinstance(answer, Answer)
    assert (code, answer.removed) == (0, {"b": True, "nobody": False})
    work(kafka.bootstrap, group, [topic, added], "b")

    # Then the gate passes
    passed, _ = _gate(kafka.bootstrap, replace(terms, topics=wanted))
    assert passed.verdict is Verdict.PASSED


def test_generation_and_own_assignment_are_compared_with_the_records(kafka: SharedKafka, work: MakeWorker) -> None:
    # Given a static member and its record
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 2})
    only = work(kafka.bootstrap, group, [topic], "a").ready()
    terms = _expect(group, "a", p0=only)
    before = generations(terms.processes)[group]
    assert _gate(kafka.bootstrap, terms)[0].verdict is Verdict.PASSED

    # When another joins, the partitions are divided anew
    second = work(kafka.bootstrap, group, [topic], "b").ready()
    assert Deadline(20).poll(lambda: len(only.standing.partitions) == 1 if only.standing else False)

    # Then the older record differs from what the brokers say, and from the generation that the other one tells
    fresh = _expect(group, "a", "b", p0=only, p1=second)
    stale = replace(terms, processes=(*terms.processes, fresh.processes[1]))
    assert _gate(kafka.bootstrap, stale)[0].causes == {Cause.ASSIGNMENT, Cause.GENERATION}
    # And that it has grown is no reason: newer records pass
    assert generations(fresh.processes)[group] > before
    assert _gate(kafka.bootstrap, fresh)[0].verdict is Verdict.PASSED


def test_a_static_member_of_a_kip_848_group_can_be_removed_too(kafka: SharedKafka, heartbeat: Heartbeat) -> None:
    # Given two static members by the new protocol
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 2})
    heartbeat(group, "a", [topic])

    # When one is removed by its instance id
    question = Question(Ask.REMOVE_MEMBERS, (group,), kafka.bootstrap, instances=("a",))
    code, (answer,) = _command(question)

    # Then the group does not have it any more
    assert isinstance(answer, Answer)
    assert (code, answer.error, answer.removed) == (0, "", {"a": True})
    code, (answer,) = _command(Question(Ask.LAG, (group,), kafka.bootstrap))
    assert isinstance(answer, Answer)
    assert (answer.groups[0].type, answer.groups[0].members) == ("consumer", ())


def test_a_real_consumers_record_agrees_with_what_the_brokers_say_of_it(kafka: SharedKafka, tmp_path: Path) -> None:
    # Given a consumer process as it runs on a host, with its status record
    name = kafka.unique("record").replace("-", "_")
    kafka.create_topics({name: 3})
    (tmp_path / "own_app.py").write_text(
        "from ops.consumer import App, Controller\n"
        "class OneController(Controller):\n    def perform(self):\n        pass\n"
        f"app = App('{name}')\napp.topic('{name}', controller=OneController)\n"
    )
    file = tmp_path / "status"
    environ = {
        "KARAFKA_BROKERS": kafka.bootstrap,
        "KARAFKA_INSTANCE_ID": "app.h1.karafka.0",
        "KARAFKA_STATUS_FILE": str(file),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ops", "server", "--app", "own_app:app"],
            cwd=tmp_path,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        assert Deadline(30).poll(lambda: file.exists() and json.loads(file.read_text())["state"] == "running")
        report = ProcessReport("karafka-0", State.RUNNING, consumer=json.loads(file.read_text()))
        running = Process.of("h1", report, "app.h1.karafka.0", (name,))

        # Then the gate passes by both, and the row shows all its partitions
        terms = Terms((running,), {name: (name,)})
        assert generations([running])
        passed, groups = _gate(kafka.bootstrap, terms)
        assert passed.verdict is Verdict.PASSED, passed.reasons
        host = HostReport("h1", (report,), {"karafka-0": "app.h1.karafka.0"}, {"karafka-0": (name,)})
        seen = observation.observe([host], groups)
        assert (seen.rows[0].partitions, seen.rows[0].lag, seen.remarks) == (3, 0, ())
    finally:
        process.terminate()
        process.wait(30)
