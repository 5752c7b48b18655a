"""How a message gets to its lane."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from ops.consumer.controller import Controller, Halt
from ops.consumer.message import Message
from ops.consumer.performer import parse
from ops.consumer.route import Route

SCOPE = "uniqueness_scope"
HALTED = object()
"""What was made of a message that `before_enqueue` lets nobody perform."""


class LaneEntry:
    """Finds the lanes of one route's messages, as they are read.

    Parameters
    ----------
    route : its controller's `before_enqueue`, if it has one, sets `params["uniqueness_scope"]`.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self._plans = route.controller.before_enqueue is not Controller.before_enqueue

    def of(self, message: Message) -> tuple[Hashable, Any]:
        """Give a message's lane, None for one of its own, and what was made of the message for that, if anything."""
        if not self._plans:
            return message.key, None
        try:
            params = parse(self._route, message)
            plan = self._route.controller(self._route, (message,), (params,))
            plan.before_enqueue()
        except Halt:
            return None, HALTED
        except Exception:  # noqa: BLE001 - it will raise again when it is its turn, and be counted then
            return message.key, None
        scope = params.get(SCOPE) if isinstance(params, dict) else None
        return message.key if scope is None else str(scope), plan
