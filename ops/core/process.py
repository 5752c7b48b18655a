"""One process, as the agent of its host is to run it. Light, for the wrapper, which each start waits for."""

from __future__ import annotations

from ops.core.records import dataclass, field
from ops.core.slot import SlotFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DAY_SECONDS = 86_400


@dataclass(frozen=True)
class ProcessSpec:
    """All that a host needs to know to run one process.

    Attributes
    ----------
    name : the slot's name, `karafka-0`.
    command : argv.
    directory : where it is started; a link is resolved at the start (`current`).
    env : its environment beside the agent's own.
    env_file : `KEY=value` lines of mode 0600 on the host, read at the start; need not exist.
    readiness : `notify` (READY=1 on the NOTIFY_SOCKET) or `alive` (still there after a second).
    start_timeout_seconds, stop_timeout_seconds : how long it may take to be ready, to end after TERM.
    standby : `auto`: a restart hands over warm where the running process can; `off`: it always stops and starts.
    fresh_member_of : groups that its static member is removed from right before it joins, so that they divide their
        partitions anew. For a release that reads other topics (see `ops.core.subscriptions`): a static member that
        comes back gets what the one before it had.
    only_outdated : a restart leaves it alone where it runs what `directory` leads to.
    """

    name: str
    command: tuple[str, ...]
    directory: str
    files: SlotFiles
    env: dict[str, str] = field(default_factory=dict)
    env_file: str = ""
    readiness: str = "notify"
    start_timeout_seconds: float = 20.0
    stop_timeout_seconds: float = 30.0
    standby: str = "auto"
    fresh_member_of: tuple[str, ...] = ()
    only_outdated: bool = False


def already_on(release: str) -> str:
    """Return what is said of a process that a restart of what is outdated leaves alone."""
    return f"already on release {release}"


def spec_from(one: dict[str, Any]) -> ProcessSpec:
    """Read one process from JSON data.

    Raises
    ------
    ValueError, TypeError, KeyError : it does not fit; the text says what.
    """
    groups = one.get("fresh_member_of", [])
    lists = {"command": tuple(one["command"]), "fresh_member_of": tuple(groups)}
    spec = ProcessSpec(**{**one, "files": SlotFiles(**one["files"]), **lists})
    if isinstance(one["command"], str) or not spec.command or not all(isinstance(word, str) for word in spec.command):
        raise ValueError(f"the command of {spec.name} is no list of words")
    if not all(isinstance(text, str) for item in spec.env.items() for text in item):
        raise ValueError(f"the environment of {spec.name} is not made of strings")
    if isinstance(groups, str) or not all(isinstance(group, str) for group in spec.fresh_member_of):
        raise ValueError(f"the groups that {spec.name} leaves are no list of names")
    if spec.readiness not in ("notify", "alive"):
        raise ValueError(f"the readiness of {spec.name} is neither notify nor alive: {spec.readiness!r}")
    if spec.standby not in ("auto", "off"):
        raise ValueError(f"standby of {spec.name} is neither auto nor off: {spec.standby!r}")
    if not (0 <= spec.start_timeout_seconds <= _DAY_SECONDS and 0 <= spec.stop_timeout_seconds <= _DAY_SECONDS):
        raise ValueError(f"a timeout of {spec.name} is not within 0 and {_DAY_SECONDS} s")
    return spec
