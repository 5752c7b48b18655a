"""What a deploy says while it runs: typed events, for whoever shows them (a terminal, plain lines, a pipeline)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, Union


@dataclass(frozen=True)
class StageBegun:
    """A stage of the flow begins: `deploy`, `updating`."""

    flow: str
    stage: str


@dataclass(frozen=True)
class StageEnded:
    """A stage has ended; `error` says why it failed, empty where it did not."""

    flow: str
    stage: str
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class HostFact:
    """Something about one host, `process` empty where it is about none: `mirror`, `updated in 0.4 s`."""

    host: str
    step: str
    detail: str = ""
    process: str = ""
    failed: bool = False


@dataclass(frozen=True)
class HookBegun:
    """A hook begins; `where` is `here`, or the hosts that it runs on."""

    name: str
    where: str


@dataclass(frozen=True)
class Output:
    """A line that a hook or build has printed; `host` is empty for this machine."""

    source: str
    line: str
    host: str = ""


@dataclass(frozen=True)
class Uploaded:
    """How much of the artifact a host has, in bytes. Told from several threads."""

    host: str
    sent: int
    size: int


@dataclass(frozen=True)
class Said:
    """A remark; `failed` for what is wrong."""

    text: str
    failed: bool = False


@dataclass(frozen=True)
class HostRelease:
    """Which release a host has.

    Attributes
    ----------
    current, previous : releases; empty for none.
    running : what its living processes run.
    note : what is remarkable, such as that nobody knows.
    """

    host: str
    current: str
    previous: str = ""
    running: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Which host has and runs which release."""

    rows: tuple[HostRelease, ...]


@dataclass(frozen=True)
class Result:
    """How the flow has ended.

    Attributes
    ----------
    message : in words, a line or several; the last ones are what to do next.
    rollout : the evidence of its restart as JSON data; None where there was none.
    rollout_name : what it is kept as, for `fab karafka.history --rollout`.
    """

    flow: str
    stage: str
    exit_code: int
    seconds: float
    release: str
    revision: str
    message: str
    rollout: dict[str, Any] | None = None
    rollout_name: str = ""


Happening = Union[StageBegun, StageEnded, HostFact, HookBegun, Output, Uploaded, Said, Table, Result]


class Narrator(Protocol):
    """Is told everything that a deploy says."""

    def tell(self, event: Happening) -> None:
        """Show it, or keep it."""
        ...


def as_json(event: Happening) -> dict[str, Any]:
    """Give an event as JSON data, its kind with it."""
    return {"event": type(event).__name__, **asdict(event)}
