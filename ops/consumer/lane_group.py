"""What the poll thread does for the topics whose messages are performed in lanes: marks read, marks committed."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable

from kafka import TopicPartition
from kafka.errors import KafkaError

from ops.consumer.commits import COMMIT_SECONDS, Commits
from ops.consumer.lane_pool import LanePool
from ops.consumer.ledger import Place
from ops.consumer.readers import Reader
from ops.consumer.rejoin import Membership
from ops.core.errors import ExitCode
from ops.core.marks import Marks, decode

log = logging.getLogger(__name__)

COMMIT_EVERY_SECONDS = 0.1
COMMIT_EVERY_JOBS = 500


class LaneGroup:
    """The lanes of one group.

    Parameters
    ----------
    readers : of all its topics; those without lanes are no matter here.
    """

    def __init__(self, readers: Iterable[Reader]) -> None:
        self.pools = tuple(one for one in readers if isinstance(one, LanePool))
        self._by_topic = {pool.route.source: pool for pool in self.pools}
        self._partitions: frozenset[TopicPartition] = frozenset()
        self._to_load: frozenset[TopicPartition] = frozenset()
        self._epoch = -1  # of what is loaded
        self._committed_at = 0.0

    @property
    def lively(self) -> bool:
        """Whether any job is in work, or rests before it is tried again."""
        return any(pool.lively for pool in self.pools)

    @property
    def urgent(self) -> bool:
        """Whether anything waits for a commit: the next job, or whoever waits for the last one."""
        return any(pool.shut or (pool.finished_since and not pool.lively) for pool in self.pools)

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Note what is to be loaded before the next turn."""
        self._partitions = frozenset(partitions)
        self._to_load = frozenset(one for one in self._partitions if one.topic in self._by_topic)

    def load(self, epoch: int, membership: Membership) -> frozenset[TopicPartition]:
        """Read what is committed of newly assigned partitions, before anything of them is put in.

        Returns
        -------
        Those of which nothing is committed: where they begin is to be committed before anything of them runs.

        Raises
        ------
        KafkaError : it cannot be read now. All partitions are read anew then: what was fetched is not handed over.
        """
        if not self._to_load:
            return self._to_load
        try:
            found = membership.committed(self._to_load, COMMIT_SECONDS)
        except KafkaError:
            membership.reread(self._partitions)
            raise
        for topic, pool in self._by_topic.items():
            own = [partition for partition in self._to_load if partition.topic == topic]
            pool.load(epoch, {partition: _marks(partition, found.get(partition)) for partition in own})
        loaded, self._to_load, self._epoch = self._to_load, frozenset(), epoch
        return loaded - found.keys()

    def turn(self, epoch: int, commits: Commits) -> None:
        """Hand over what is due: a commit that has to come first, others each 100 ms, 500 jobs, or when all are done.

        Raises
        ------
        KafkaError : a commit that has to come first was refused; it comes again with the next turn.
        """
        if epoch != self._epoch:
            return
        now, due = time.monotonic(), False
        for pool in self.pools:
            pool.tick()
            opened = pool.openable()
            if opened or pool.shut:
                self._put(pool, commits)
                if commits.now():
                    pool.committed(opened)
                else:
                    pool.refused()
            due = due or pool.finished_since >= (COMMIT_EVERY_JOBS if pool.lively else 1)
        if (due or now - self._committed_at >= COMMIT_EVERY_SECONDS) and not commits.under_way:
            self._committed_at = now
            for pool in self.pools:
                self._put(pool, commits)

    def finish(self, epoch: int, commits: Commits) -> None:
        """Note the last places of an assignment, after its jobs in work have ended."""
        if epoch == self._epoch:
            for pool in self.pools:
                self._put(pool, commits)
        self._epoch, self._to_load = -1, frozenset()

    def end_overdue(self, group: str, seconds: float) -> None:
        """End this process if a job is still in work: whoever gets its partition would run it beside this one."""
        for pool in self.pools:
            if pool.busy:
                log.critical("group %s: a job of %s is still in work after %g s; this process ends, lest it run twice",
                             group, pool.route.source, seconds)  # fmt: skip
                logging.shutdown()
                os._exit(ExitCode.FAILED)

    @staticmethod
    def _put(pool: LanePool, commits: Commits) -> None:
        for partition, (offset, note) in pool.places().items():
            commits.put(partition, Place(offset, note))


def _marks(partition: TopicPartition, place: object) -> Marks | None:
    """Read a partition's marks; where they are another tool's it is begun at its offset."""
    if place is None:
        return None
    offset, note = place.offset, place.metadata or ""  # type: ignore[attr-defined]
    marks = decode(offset, note)
    if marks is None and note:
        log.warning("%s[%d]: the commit's metadata is another tool's or version's (%.40r); beginning at offset %d",
                    partition.topic, partition.partition, note, offset)  # fmt: skip
    return marks or Marks(offset)
