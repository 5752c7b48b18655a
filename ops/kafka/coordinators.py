"""Questions that each group's coordinator must be asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from kafka.errors import GroupIdNotFoundError, NoError, for_code


def describe(admin: Any, names: Sequence[str], request: Callable[[list[str]], Any]) -> list[Any]:
    """Have groups described, one request for each coordinator; those that do not exist are left out.

    Parameters
    ----------
    request : makes the request for some groups; its answer has `groups` with `group_id` and `error_code`.

    Raises
    ------
    KafkaError : the first error of any of them.
    """
    described = []
    for group in admin._manager.run(_ask, admin, names, request):
        error = for_code(group.error_code)
        if error is NoError:
            described.append(group)
        elif error is not GroupIdNotFoundError:
            raise error(f"group {group.group_id}: {getattr(group, 'error_message', None) or ''}")
    return described


async def _ask(admin: Any, names: Sequence[str], request: Callable[[list[str]], Any]) -> list[Any]:
    by_coordinator: dict[int, list[str]] = defaultdict(list)
    for name, coordinator in (await admin._find_coordinator_ids(names)).items():
        by_coordinator[coordinator].append(name)
    groups: list[Any] = []
    for coordinator, its in by_coordinator.items():
        groups += (await admin._manager.send(request(its), node_id=coordinator)).groups
    return groups
