"""What `routes` and `info` show of an app, and what it says of itself when it is asked what it reads."""

from __future__ import annotations

import platform
from importlib.metadata import version

from ops.consumer.app import App
from ops.core.description import encode_description


def route_rows(app: App) -> list[dict[str, str]]:
    """Give one row a route, all cells text: what `routes` shows."""
    return [
        {
            "topic": route.topic,
            "group": route.group,
            "controller": route.controller.__name__,
            "responder": route.responder.__name__ if route.responder else "",
            "worker": route.worker.__name__ if route.worker else "",
            "parser": getattr(route.parser, "__name__", type(route.parser).__name__),
            "interchanger": type(route.interchanger).__name__,
            "inline_mode": str(route.inline_mode).lower(),
            "batch_mode": str(route.batch_mode).lower(),
            "start_from_beginning": str(route.start_from_beginning).lower(),
            "dead_letter": route.dead_letter,
        }
        for route in sorted(app.routes, key=lambda route: route.topic)
    ]


def facts(app: App) -> dict[str, str]:
    """Give what `info` shows of an app: versions, names and counts."""
    return {
        "app": app.name,
        "client_id": app.client_id,
        "routes": str(len(app.routes)),
        "groups": ", ".join(app.groups),
        "topics": str(len(app.topic_names())),
        "karafka-ops": version("karafka-ops"),
        "kafka-python": version("kafka-python"),
        "python": platform.python_version(),
    }


def description(app: App) -> str:
    """Give all groups and the topics they read, as the cluster names them: one line that the operator's side reads.

    Raises
    ------
    RoutingError : the app has no routes at all.
    """
    groups = {group: [route.source for route in routes] for group, routes in app.select().items()}
    return encode_description(app.name, groups)
