"""One consumer group's connection: the only place, and the only thread, that touches the KafkaConsumer.

The poll thread fetches, hands messages to the topics' threads, pauses the partitions of slow topics, takes finished
offsets from a queue and commits them. In a rebalance kafka-python calls back on its own event loop while the poll
thread waits inside it, so that still nobody else touches the client.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError

from ops.consumer.behind import Behind
from ops.consumer.client import consumer_options
from ops.consumer.commits import Commits
from ops.consumer.delivery import Sent
from ops.consumer.errors import FencedError, KafkaUnreachableError, PollLoopError
from ops.consumer.lane_group import LaneGroup
from ops.consumer.outbox import Outbox
from ops.consumer.overdue import Overdue
from ops.consumer.pace import Pace
from ops.consumer.placement import Placement
from ops.consumer.predecessor import remove_predecessor
from ops.consumer.pressure import Pressure
from ops.consumer.progress import Progress
from ops.consumer.readers import readers_of
from ops.consumer.rebalance import RebalanceCallbacks
from ops.consumer.rejoin import Membership
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route
from ops.consumer.settings import ConsumerSettings
from ops.consumer.topic_thread import batches
from ops.consumer.vitals import Vitals
from ops.core.dead_letters import TOPICS
from ops.core.deadline import Deadline

log = logging.getLogger(__name__)

_JOIN_SECONDS = 2.0  # shorter waits cut joins off; see rejoin
_RETRY_SECONDS = 0.2
_HOLD_SECONDS = 0.002


class GroupSource:
    """Reads one group's topics.

    Parameters
    ----------
    group : its id.
    routes : the topics'.
    settings, client_id : of the connection.
    outbox : where the topics' threads send.
    """

    def __init__(
        self, group: str, routes: Sequence[Route], settings: ConsumerSettings, client_id: str, outbox: Outbox
    ) -> None:
        self.group = group
        self.routes = tuple(routes)
        self.failure: Exception | None = None
        self.ready = threading.Event()
        self.held = threading.Event()
        self.ended = threading.Event()
        self._settings = settings
        self._client_id = client_id
        self._finished: deque[Sent] = deque()
        retry = RetryPolicy(settings.retries, settings.retry_backoff_seconds)
        self.progress = Progress()
        session = settings.session_timeout_seconds
        self.threads = readers_of(routes, outbox, self._finished, retry, self.progress, session)
        self._lanes = LaneGroup(self.threads.values())
        self._epoch = 0
        self._stop = threading.Event()
        self._hold = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"poll-{group}", daemon=True)
        self._overdue = Overdue(self.threads.values(), settings.message_timeout_seconds)
        self._placement = Placement()
        self.vitals = Vitals(self.threads.values(), self._overdue)
        self._partitions: frozenset[TopicPartition] = frozenset()

    def prepare(self, timeout_seconds: float) -> set[str]:
        """Connect to all brokers concerned and learn the topics, not joining yet; give the topics that are missing.

        Raises
        ------
        KafkaUnreachableError : no broker spoke Kafka within the time.
        """
        beginning = self.routes[0].start_from_beginning
        options = consumer_options(self._settings, self._client_id, self.group, from_beginning=beginning)
        try:
            self._consumer = KafkaConsumer(**options, bootstrap_timeout_ms=int(timeout_seconds * 1000))
        except KafkaError as error:
            raise KafkaUnreachableError(f"cannot connect: {error}", where=f"group {self.group}") from error
        self._membership = Membership(self._consumer)
        self._pressure = Pressure(self._consumer, self.threads)
        self._pace = Pace(self._membership, self._pressure)
        self._commits = Commits(self.group, self._consumer, self._membership)
        self.behind = Behind(self._consumer, self.threads.values())
        found = self._membership.learn(self.threads, timeout_seconds)
        return {topic for topic in self.threads if topic not in found}

    def start(self) -> None:
        """Subscribe, and work from now on in threads of its own; whoever was before it leaves first, if so asked."""
        settings = self._settings
        if settings.instance_id and self.group in settings.fresh_member.split(","):
            remove_predecessor(self._consumer, self.group, settings.instance_id)
        self._consumer.subscribe(list(self.threads), listener=RebalanceCallbacks(self))
        self._membership.begin()
        for thread in self.threads.values():
            thread.start()
        self.vitals.turned()
        self._thread.start()

    def hold(self) -> None:
        """Ask it to finish the messages in work, commit and stand still as a member; `held` tells when."""
        self._hold.set()

    def resume(self) -> None:
        """Go on after a hold, with what is not committed."""
        self._hold.clear()

    def stop(self) -> None:
        """Ask it to finish the messages in work, commit and leave; `ended` tells when."""
        self._stop.set()

    def facts(self) -> dict[str, Any]:
        """Give the group's part of the status record."""
        assignment: dict[str, list[int]] = defaultdict(list)
        for partition in sorted(self._partitions):
            assignment[partition.topic].append(partition.partition)
        return {
            "member_id": self._membership.member_id,
            "instance_id": self._settings.instance_id or None,
            "generation": self._membership.generation,
            "joined": self.ready.is_set() and self._membership.joined,
            "assignment": dict(assignment),
            TOPICS: sorted({route.dead_letter_topic for route in self.routes}),
            "rejoin_heals": self._membership.heals,
            **self.vitals.facts(self._commits.waiting_since),
        }

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.vitals.turned()
                try:
                    if self._hold.is_set():
                        self._stand()
                    else:
                        self._turn()
                except KafkaError as error:
                    if not error.retriable:
                        raise
                    log.warning("group %s: %s: %s; going on", self.group, type(error).__name__, error)
                    self._stop.wait(_RETRY_SECONDS)
            self._drain()
        except FencedInstanceIdError as error:
            self.failure = FencedError(
                f"another process works as {self._settings.instance_id!r}: {error}",
                where=f"group {self.group}",
                hint="one of the two must go: each slot has an instance id of its own (KARAFKA_INSTANCE_ID)",
            )
        except Exception as error:
            log.exception("group %s: the poll loop ended", self.group)
            self.failure = PollLoopError(f"{type(error).__name__}: {error}", where=f"group {self.group}")
        finally:
            self._close()
            self.ended.set()

    def _turn(self) -> None:
        """Do one turn: join or poll, hand over, collect, commit."""
        membership = self._membership
        membership.heal()
        if not membership.joined and not membership.join(_JOIN_SECONDS):
            return
        membership.check_fenced()
        membership.unpark()
        busy, lanes = self._commits.pending or self._working(), self._lanes
        seconds = self._pace.poll_seconds(busy=busy, lanes=lanes.lively, urgent=lanes.urgent)
        fetched = self._consumer.poll(seconds * 1000)
        if not self.ready.is_set() and membership.joined:
            self.ready.set()
        if fetched:
            self._pace.fetched()
        self._placement.wanted(lanes.load(self._epoch, membership))
        self._placement.place(self._consumer, self._commits, self.threads, fetched)
        for batch in batches(self._epoch, fetched):
            self.threads[batch.partition.topic].put(batch)
        self._pressure.balance(self._partitions)
        self.behind.look(self._partitions)
        self._collect()
        lanes.turn(self._epoch, self._commits)
        self._commits.begin()
        self._overdue.say()

    def _stand(self) -> None:
        """Finish and commit, then stand still until told to go on or to stop; heartbeats go on meanwhile."""
        membership = self._membership
        if not membership.joined and not membership.join(_JOIN_SECONDS):
            return
        self._halt_and_collect()
        self._commits.now()
        self.held.set()
        while self._hold.is_set() and not self._stop.wait(_HOLD_SECONDS):
            self.vitals.turned()
        self.held.clear()
        if not self._stop.is_set():
            membership.reread(self._partitions)
            self._lanes.assigned(self._partitions)

    def _collect(self) -> None:
        """Take over what the topics' threads have finished."""
        finished = self._finished
        while finished:
            part = finished.popleft()
            if part.epoch == self._epoch:
                for partition, offset in part.offsets.items():
                    self._commits.finish(partition, offset)
        for thread in self.threads.values():
            if thread.failure is not None:
                raise thread.failure

    async def release(self, *, lost: bool) -> None:
        """Give the partitions up: wait for the messages in work, at most their time limit, and commit them."""
        self._membership.keep_wanting()
        deadline = self._halt()
        while self._working() and not deadline.expired:
            await self._membership.sleep(0.002)
        self._lanes.end_overdue(self.group, self._settings.message_timeout_seconds)
        self._give_up_rest()
        if lost:
            self._commits.forget()
        else:
            await self._commits.before_rebalance()
        self._pressure.forget()
        self._partitions = frozenset()
        self._membership.forget_positions()

    def take_over(self, assigned: set[TopicPartition]) -> None:
        """Begin with the partitions of a new assignment."""
        self._partitions = frozenset(assigned)
        self._lanes.assigned(assigned)
        self.progress.assigned()
        self._placement.forget()
        if not self.routes[0].start_from_beginning:
            self._placement.wanted(assigned)
        log.info("group %s: %d partition(s) in generation %d", self.group, len(assigned), self._membership.generation)

    def _halt(self) -> Deadline:
        for thread in self.threads.values():
            thread.halt(self._epoch)
        return Deadline(self._settings.message_timeout_seconds)

    def _working(self) -> bool:
        return any(thread.busy for thread in self.threads.values())

    def _give_up_rest(self) -> None:
        """Close the epoch: collect what is finished, abandon what is still in work."""
        for topic, thread in self.threads.items():
            if thread.busy:
                thread.abandon(self._epoch)
                log.error("group %s: a message of %s is still in work after %g s; it will be repeated",
                          self.group, topic, self._settings.message_timeout_seconds)  # fmt: skip
        self._collect()
        self._lanes.finish(self._epoch, self._commits)
        self._epoch += 1

    def _drain(self) -> None:
        """Finish the messages in work and commit; what cannot be committed is repeated."""
        self._halt_and_collect()
        self._commits.finally_()
        self._lanes.end_overdue(self.group, self._settings.message_timeout_seconds)

    def _halt_and_collect(self) -> None:
        """Finish the messages in work, and give up what is queued."""
        deadline = self._halt()
        deadline.poll(lambda: not self._working(), every=0.002)
        self._give_up_rest()

    def _close(self) -> None:
        for thread in self.threads.values():
            thread.close()
        try:
            self._consumer.close(autocommit=False, timeout_ms=5000)
        except KafkaError as error:
            log.warning("group %s: closing: %s", self.group, error)
