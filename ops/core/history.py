"""The history of rollouts: what is asked of the host that keeps it, and what it answers.

It is kept below shared/ on the host that keeps the lease: a JSON file and a picture a rollout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ops.core.strenum import StrEnum

KEPT = 20


class HistoryAction(StrEnum):
    """What can be asked."""

    STORE = "store"
    LIST = "list"
    FETCH = "fetch"


@dataclass(frozen=True)
class HistoryCall:
    """One question.

    Attributes
    ----------
    name : of one rollout's files, without suffix; see `Evidence.name`. Of a fetch, empty for the latest.
    evidence : to be stored, as JSON data.
    picture : to be stored, SVG.
    """

    action: HistoryAction
    name: str = ""
    evidence: dict[str, Any] | None = None
    picture: str = ""


@dataclass(frozen=True)
class HistoryAnswer:
    """One answer.

    Attributes
    ----------
    names : of all rollouts there are, the latest first.
    summaries : of a list, `Evidence.summary()` of each of them, in the same order; empty for one that cannot be read.
    evidence, picture : of a fetch.
    message : why there is none, or what could not be done, in words.
    """

    names: tuple[str, ...]
    summaries: tuple[dict[str, Any], ...] = ()
    evidence: dict[str, Any] | None = None
    picture: str = ""
    message: str = ""
