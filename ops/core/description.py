"""How a release says what it reads: one line of JSON that its own command prints when it is asked, instead of working.

The operator's side compares it with what the running processes subscribe to (see `ops.core.subscriptions`). The line
carries a version of its own: the release that prints it and the agent that reads it are of different times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

VARIABLE = "KARAFKA_DESCRIBE"  # set for a command that is to print the line, and to end before it connects to anything
DESCRIPTION = 1
"""The version of the line."""

_MARK = "karafka"


def asked(environ: Mapping[str, str]) -> bool:
    """Whether this process is to describe itself, and nothing else."""
    return bool(environ.get(VARIABLE))


def encode_description(app: str, groups: Mapping[str, Sequence[str]]) -> str:
    """Give the line.

    Parameters
    ----------
    groups : every consumer group of the app with its topics, as the cluster names them.
    """
    return json.dumps(
        {_MARK: DESCRIPTION, "app": app, "groups": {name: list(topics) for name, topics in groups.items()}}
    )


def read_description(line: str) -> dict[str, list[str]] | None:
    """Give the groups and topics of a line; None for any other line that a command prints."""
    if f'"{_MARK}"' not in line:
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get(_MARK) != DESCRIPTION:
        return None
    return groups_of(data.get("groups"))


def groups_of(data: object) -> dict[str, list[str]] | None:
    """Give groups with their topics as they come out of JSON; None where they are none."""
    if not isinstance(data, dict):
        return None
    lists = all(isinstance(topics, list) and all(isinstance(one, str) for one in topics) for topics in data.values())
    return data if lists else None
