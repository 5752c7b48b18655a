"""The static member before this process, removed from its group right before this one joins.

Source: on Kafka 4.3.1 a static member that comes back gets what the one before it had, whatever it subscribes to. A
group that has lost a member divides its partitions anew among all that are there (see docs/architecture.md).
"""

from __future__ import annotations

import logging
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import (
    CoordinatorNotAvailableError,
    KafkaError,
    NoError,
    NotCoordinatorError,
    UnknownMemberIdError,
    for_code,
)
from kafka.protocol.consumer import LeaveGroupRequest

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline

log = logging.getLogger(__name__)

_SECONDS = 3.0  # nobody works in this slot meanwhile
_RETRY_SECONDS = 0.05
_BY_INSTANCE = 3  # version of LeaveGroup, since Kafka 2.3
_REASON = "karafka-ops: a release that reads other topics takes over"


def remove_predecessor(consumer: KafkaConsumer, group: str, instance: str) -> None:
    """Remove the member with this process's instance id; that there is none is as good.

    Where it fails it says so in the log, and nothing else: whoever joins then does so with the partitions of before,
    and the gate finds what nobody owns.

    Parameters
    ----------
    consumer : not subscribed yet; its connection to the group's coordinator is used, and no other thread uses it.
    """
    deadline = Deadline(_SECONDS)
    while True:
        try:
            removed = consumer._net.run(_ask, consumer, group, instance, deadline)
        except KafkaError as error:
            if error.retriable and not deadline.expired:
                Deadline(_RETRY_SECONDS).poll(lambda: False, every=_RETRY_SECONDS)
                continue
            log.error("group %s: %s could not be removed: %s: %s; topics that this release adds may stay without owner",
                      group, instance, type(error).__name__, error)  # fmt: skip
        else:
            log.info("group %s: %s was %s, the partitions are divided anew",
                     group, instance, "removed" if removed else "no member")  # fmt: skip
        return


async def _ask(consumer: KafkaConsumer, group: str, instance: str, deadline: Deadline) -> bool:
    """Send the request itself: no public call of a consumer removes a static member."""
    coordinator: Any = consumer._coordinator
    if not await coordinator.ensure_coordinator_ready_async(timeout_ms=deadline.remaining * 1000):
        raise CoordinatorNotAvailableError(f"no coordinator within {in_seconds(deadline.seconds)}")
    member = LeaveGroupRequest.MemberIdentity(member_id="", group_instance_id=instance, reason=_REASON)
    request = LeaveGroupRequest(group_id=group, members=[member], min_version=_BY_INSTANCE)
    sent = consumer._manager.send(request, node_id=coordinator.coordinator_id)
    response = await consumer._manager.wait_for(sent, max(1.0, deadline.remaining * 1000))
    for code in (response.error_code, *(one.error_code for one in response.members)):
        error = for_code(code)
        if error is UnknownMemberIdError:
            return False
        if error is not NoError:
            if error in (CoordinatorNotAvailableError, NotCoordinatorError):
                coordinator.coordinator_dead(error())  # another broker's by now
            raise error()
    return True
