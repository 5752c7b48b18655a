"""How the cluster is asked over a pipe: one JSON question in, JSON lines back.

`python -m ops.kafka` reads a question from one line of standard input. Back come judgements while a gate waits (`kind`
judgement) and one answer last (`kind` answer); both carry the protocol's version.
"""

from __future__ import annotations

import json
from typing import Any

from ops.core.amounts import in_seconds
from ops.core.cluster import Group
from ops.core.decoding import decode
from ops.core.gate import Terms
from ops.core.protocol import PROTOCOL, SETUP_HINT, ProtocolError
from ops.core.records import asdict, dataclass, field
from ops.core.strenum import StrEnum
from ops.core.verdict import Judgement

_HOUR_SECONDS = 3600.0


class Ask(StrEnum):
    """What can be asked."""

    TOPICS = "topics"
    GROUPS = "groups"
    LAG = "lag"
    PREFLIGHT = "preflight"
    GATE = "gate"
    REMOVE_MEMBERS = "remove_members"


@dataclass(frozen=True)
class Question:
    """One question to the cluster.

    Attributes
    ----------
    names : of topics or groups; for `groups` and `lag` none means all, for `remove_members` it is one group.
    brokers : host:port, comma-separated; empty for KARAFKA_BROKERS of whoever answers. Security comes from
        `env`, from the env file on the answering host, or its own environment; it never leaves that host.
    env : the settings' KARAFKA_* variables, as the processes have them.
    env_file : the application's env file on the answering host; it wins over `env`, and need not exist.
    timeout_seconds : how long the brokers may keep silent.
    deadline_seconds : how long a gate or preflight may wait until it passes.
    terms : what a gate or preflight is judged by; its groups are those of the terms.
    instances : instance ids of the members to be removed.
    letters : dead-letter topics that are counted along with `groups`.
    deploy_to : the application's folder on the answering host, where root works as its owner.
    """

    ask: Ask
    names: tuple[str, ...] = ()
    brokers: str = ""
    env: dict[str, str] = field(default_factory=dict)
    env_file: str = ""
    timeout_seconds: float = 10.0
    deadline_seconds: float = 5.0
    terms: Terms | None = None
    instances: tuple[str, ...] = ()
    deploy_to: str = ""
    letters: tuple[str, ...] = ()

    def encode(self) -> str:
        """Give the question as one line of JSON."""
        return json.dumps({"protocol": PROTOCOL, **asdict(self)})

    @classmethod
    def decode(cls, text: str) -> Question:
        """Read a question.

        Raises
        ------
        ProtocolError : it is none, or of another version.
        """
        data = _object(text, "question")
        try:
            question = decode(cls, data)
            question._check()
        except ValueError as error:
            raise ProtocolError(f"the question does not fit: {error}", hint=SETUP_HINT) from error
        return question

    def _check(self) -> None:
        if not (0 < self.timeout_seconds <= _HOUR_SECONDS and 0 <= self.deadline_seconds <= _HOUR_SECONDS):
            raise ValueError(f"a time is not within 0 and {in_seconds(_HOUR_SECONDS)}")
        if self.ask in (Ask.GATE, Ask.PREFLIGHT) and (self.terms is None or not self.terms.groups):
            raise ValueError(f"{self.ask} needs terms with processes and their groups")
        if self.ask is Ask.REMOVE_MEMBERS and (len(self.names) != 1 or not self.instances):
            raise ValueError(f"{self.ask} needs one group and its instance ids")


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes
    ----------
    topics : number of partitions of each topic asked for; None for one that does not exist.
    groups : those asked for, in that order; of a gate or preflight, as they were last seen.
    judgement : of a gate or preflight.
    letters : how many dead letters each topic asked for has; None where the cluster does not tell.
    removed : whether each instance id had a member.
    error, exit_code : why there is no answer, and what the command would exit with.
    """

    topics: dict[str, int | None] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    judgement: Judgement | None = None
    removed: dict[str, bool] = field(default_factory=dict)
    letters: dict[str, int | None] = field(default_factory=dict)
    error: str = ""
    exit_code: int = 0

    def encode(self) -> str:
        """Give the answer as one line of JSON."""
        return json.dumps({"protocol": PROTOCOL, "kind": "answer", **asdict(self)})

    @classmethod
    def decode(cls, text: str) -> Answer:
        """Read an answer.

        Raises
        ------
        ProtocolError : it is none, or of another version.
        """
        line = decode_line(text)
        if not isinstance(line, Answer):
            raise ProtocolError(f"this is no answer: {text[:200]!r}")
        return line


def encode_judgement(judgement: Judgement) -> str:
    """Give a gate's present judgement as one line of JSON."""
    return json.dumps({"protocol": PROTOCOL, "kind": "judgement", **asdict(judgement)})


def decode_line(text: str) -> Judgement | Answer:
    """Read one line of what comes back.

    Raises
    ------
    ProtocolError : it is none of this protocol.
    """
    data = _object(text, "answer")
    kind = data.pop("kind", None)
    try:
        return decode(Judgement, data) if kind == "judgement" else decode(Answer, data)
    except ValueError as error:
        raise ProtocolError(f"the answer does not fit: {error}", hint=SETUP_HINT) from error


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the {what} is no JSON: {text[:200]!r}") from error
    if not isinstance(data, dict) or data.pop("protocol", None) != PROTOCOL:
        raise ProtocolError(f"the {what} is not of protocol {PROTOCOL}: {text[:200]!r}", hint=SETUP_HINT)
    return data
