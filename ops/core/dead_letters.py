"""How many messages failed for good and wait to be looked at, by the topics that running processes put them into."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ops.core.amounts import counted
from ops.core.protocol import ProcessReport
from ops.core.records import dataclass

TOPICS = "dead_letter_topics"
"""Where a consumer's own record of a group names them."""
_TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")
_MOST = 100  # a host's word: no look asks for more topics


@dataclass(frozen=True)
class DeadLetters:
    """Those of one topic.

    Attributes
    ----------
    groups : whose processes put theirs there.
    count : None where the cluster did not tell.
    """

    topic: str
    groups: tuple[str, ...]
    count: int | None

    @property
    def text(self) -> str:
        """Say it in words."""
        whose = f"group{'s' if len(self.groups) > 1 else ''} {', '.join(self.groups)}"
        return f"{whose}: {counted(self.count or 0, 'dead letter')} in {self.topic}; inv dead shows them"


def letter_topics(reports: Iterable[ProcessReport]) -> dict[str, tuple[str, ...]]:
    """Return the topics that the processes' own records name, each with its groups."""
    found: dict[str, set[str]] = {}
    for report in reports:
        for group, facts in _mapping(_mapping(report.consumer).get("groups")).items():
            topics = _mapping(facts).get(TOPICS)
            for topic in topics if isinstance(topics, list) else ():
                if isinstance(topic, str) and _TOPIC.fullmatch(topic):
                    found.setdefault(topic, set()).add(group)
    return {topic: tuple(sorted(groups)) for topic, groups in sorted(found.items())[:_MOST]}


def dead_letters(reports: Iterable[ProcessReport], counts: Mapping[str, int | None]) -> tuple[DeadLetters, ...]:
    """Return what a look has found: a count a topic, as far as the cluster told it."""
    return tuple(DeadLetters(topic, groups, counts.get(topic)) for topic, groups in letter_topics(reports).items())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
