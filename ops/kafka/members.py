"""Members that are removed from their group at once, so that no partition waits for the end of a session."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka.admin import MemberToRemove
from kafka.errors import NoError, UnknownMemberIdError

from ops.core.errors import OpsError
from ops.kafka.connection import Cluster
from ops.kafka.errors import ClusterError

_REASON = "karafka-ops: this slot is given up or divides the partitions anew"


def remove_members(cluster: Cluster, group: str, instances: Collection[str]) -> dict[str, bool]:
    """Remove static members; the brokers then divide the partitions among those that are left.

    Returns
    -------
    Whether each instance id had a member; that it had none is as good.

    Raises
    ------
    UnreachableError, ClusterError : no answer; a member that may not be removed.
    """

    def request(admin: Any) -> dict[str, Any]:
        members = [MemberToRemove(group_instance_id=one, reason=_REASON) for one in instances]
        found: dict[str, Any] = admin._manager.run(_ask, admin, group, members)
        for error in found.values():
            if error is not NoError and getattr(error, "retriable", False):
                raise error
        return found

    result = {}
    for instance, error in cluster.ask(request).items():
        if error is not NoError and error is not UnknownMemberIdError:
            raise _refused(error, group, instance)
        result[instance] = error is NoError
    return result


def _refused(error: Any, group: str, instance: str) -> OpsError:
    return ClusterError(f"{error.__name__}: {error.description}", where=f"group {group}, member {instance}")


async def _ask(admin: Any, group: str, members: list[MemberToRemove]) -> dict[str, Any]:
    """Ask with the answer keyed by instance id: kafka-python's own function keys it by member id where there is one."""
    found: dict[str, Any] = {}
    for member in members:
        answer = await admin._async_remove_group_members(group, [member])
        (found[member.group_instance_id],) = answer.values()
    return found
