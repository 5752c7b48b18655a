"""What the operator and a host's agent say to each other: one JSON request in, JSON lines back.

The request comes on the standard input of `python -m ops.node`. Back come event lines while it works and one response
line last; logs go to standard error. Every message carries the protocol's version.
"""

from __future__ import annotations

import json
from importlib import import_module

from ops.core.decoding import decode
from ops.core.description import groups_of
from ops.core.errors import OpsError
from ops.core.keeping import Keeping
from ops.core.masking import SECRETS
from ops.core.process import ProcessSpec, spec_from
from ops.core.records import asdict, dataclass, field
from ops.core.states import State
from ops.core.verb import ASKING, LEFT, LINE, ROLLING, UPKEEP, LogCall, Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ops.core.history import HistoryAnswer, HistoryCall
    from ops.core.installation import Facts, FactsCall, InstallAnswer, InstallCall
    from ops.core.lease import Fence, LeaseAnswer, LeaseCall
    from ops.core.release import DeployAnswer, DeployCall
    from ops.core.remote_command import ExecAnswer, ExecCall
    from ops.core.slot import Roster

__all__ = [
    "ASKING", "LEFT", "LINE", "PROTOCOL", "ROLLING", "SETUP_HINT", "UPKEEP", "Event", "LogCall", "ProcessReport",
    "ProcessSpec", "ProtocolError", "Request", "Response", "Verb", "decode_line", "encode_line",
]  # fmt: skip

PROTOCOL = 5  # another one whenever a message gets or loses a field, or what it means: each end refuses others
SETUP_HINT = "install this version of the tool on the host: fab karafka.setup"
CALLS = {
    "roster": "slot.Roster", "fence": "lease.Fence", "lease": "lease.LeaseCall", "history": "history.HistoryCall",
    "log": "verb.LogCall", "facts": "installation.FactsCall", "install": "installation.InstallCall",
    "deploy": "release.DeployCall", "exec": "remote_command.ExecCall",
}  # fmt: skip
"""The fields of a request that most requests have nothing in, and the types of their values, below `ops.core`.

They are imported by the messages that carry one: each costs an agent's start some milliseconds.
"""
ANSWERS = {
    "lease": "lease.LeaseAnswer", "history": "history.HistoryAnswer", "facts": "installation.Facts",
    "installed": "installation.InstallAnswer", "deployed": "release.DeployAnswer",
    "executed": "remote_command.ExecAnswer",
}  # fmt: skip
"""The same of a response."""

_WORDS = frozenset({"detail", "error", "message", "log", "troubles", "done", "notes", "reason"})
_NAMES = frozenset({"facts", "progress", "described", "consumer"})  # of topics and groups, of files


class ProtocolError(OpsError):
    """A message that is not of this protocol, or of another version of it."""


@dataclass(frozen=True)
class Request:
    """One request to one host.

    Attributes
    ----------
    at_once : act on all processes side by side; else one after the other.
    lines : how many log lines failures show.
    shared : the application's shared folder on the host; needed for all below.
    roster : of the host; with it a status also tells what runs in slots that are not in it.
    fence : the lease it is asked under. The host notes its number; having seen a higher one it does nothing.
    lease, history, log, facts, install, deploy, exec : what these verbs ask.
    keeping : who keeps the processes.
    """

    verb: Verb
    host: str
    processes: tuple[ProcessSpec, ...]
    at_once: bool = True
    lines: int = 20
    shared: str = ""
    roster: Roster | None = None
    fence: Fence | None = None
    lease: LeaseCall | None = None
    history: HistoryCall | None = None
    keeping: Keeping = field(default_factory=Keeping)
    log: LogCall | None = None
    facts: FactsCall | None = None
    install: InstallCall | None = None
    deploy: DeployCall | None = None
    exec: ExecCall | None = None

    def encode(self) -> str:
        """Give the request as one line of JSON."""
        return json.dumps({"protocol": PROTOCOL, **asdict(self)})

    @classmethod
    def decode(cls, text: str) -> Request:
        """Read a request.

        Raises
        ------
        ProtocolError : it is none, or of another version.
        """
        data = _object(text, "request")
        try:
            verb = Verb(data.pop("verb"))
            specs = tuple(spec_from(one) for one in data.pop("processes"))
            calls = {name: _optional(kind, data.pop(name, None)) for name, kind in CALLS.items()}
            keeping = decode(Keeping, data.pop("keeping"))
            request = cls(verb=verb, processes=specs, keeping=keeping, **calls, **data)
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ProtocolError(f"the request does not fit: {error}", hint=SETUP_HINT) from error
        request.check()
        return request

    def check(self) -> None:
        """Look whether a verb has all it needs.

        Raises
        ------
        ProtocolError : it has not.
        """
        extras = any(getattr(self, name) is not None for name in CALLS if name != "log")
        short = self.verb in (Verb.DESCRIBE, Verb.EXEC) and len(self.processes) != 1
        bare = str(self.verb) in CALLS and getattr(self, str(self.verb)) is None
        if short or bare or (extras and not self.shared):
            raise ProtocolError(f"the request does not fit: {self.verb} without what it needs", hint=SETUP_HINT)


@dataclass(frozen=True)
class Event:
    """Something that has just happened to a process: `step` (spawned, ready, asked to stop, ...) and its detail."""

    process: str
    step: str
    detail: str = ""


@dataclass(frozen=True)
class ProcessReport:
    """How a process is, and what was done to it.

    Attributes
    ----------
    ok : whether what was asked for is so now; true for a status.
    message : what was done in words (`already running`, `ended after 0.3 s`, `exited with 1 ...`).
    restarts : starts since the slot was first used, less one.
    cpu_percent : of one core, over the process's life.
    consumer : the consumer's own status record; None for a foreign command.
    consumer_age_seconds : since it was written, by the host's boot clock; None where it does not say.
    frozen : stopped by a signal (SIGSTOP) or a debugger.
    ports : remote ports of the TCP connections of a foreign command and its children; None where nobody knows.
    unstartable : of a status, why its command could not be started now; empty where nothing speaks against it.
    ended_seconds : since its last end, of one that is not there; None where nobody knows.
    outdated : of a status, why a restart of what is outdated is for it; empty where it runs what `current` leads to.
    kept : of such a restart, that it was left alone.
    timings : what the steps took, in seconds: `stop` and `start`, or for a warm handover `standby` (until it was warm),
        `drain` (until the old one gave the slot up) and `takeover` (until the new one worked).
    """

    name: str
    state: State
    pid: int | None = None
    ok: bool = True
    message: str = ""
    uptime_seconds: float | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    threads: int | None = None
    release: str = ""
    restarts: int = 0
    log: tuple[str, ...] = ()
    consumer: dict[str, Any] | None = None
    consumer_age_seconds: float | None = None
    frozen: bool = False
    ports: tuple[int, ...] | None = None
    ended_seconds: float | None = None
    unstartable: str = ""
    outdated: str = ""
    kept: bool = False
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """The last line of an answer: every process asked for, and what went wrong as a whole.

    Attributes
    ----------
    others : of a status, the living processes in slots that the request's roster does not have.
    stale : the error is that the lease it was asked under has gone to somebody else; nothing was done.
    lease, history, facts, deployed : the answers to these verbs.
    installed : what an install, uninstall, enable or disable has done.
    progress : the records of the processes by name, and this host's clocks (see `ops.core.progress`).
    described : every group of the release's app with its topics as the cluster names them; None where it did not say,
        `error` tells why.
    current : the release that `current` leads to; empty where nobody asked, or where it leads nowhere.
    addresses : of a status, this host's own; none where it cannot tell.
    executed : how the command of an exec ended.
    resident : of a status, the host that the folder belongs to; empty where nobody asked, or has written it down.
    """

    processes: tuple[ProcessReport, ...]
    error: str = ""
    stale: bool = False
    lease: LeaseAnswer | None = None
    history: HistoryAnswer | None = None
    progress: dict[str, Any] | None = None
    others: tuple[ProcessReport, ...] = ()
    described: dict[str, list[str]] | None = None
    current: str = ""
    addresses: tuple[str, ...] = ()
    facts: Facts | None = None
    installed: InstallAnswer | None = None
    deployed: DeployAnswer | None = None
    resident: str = ""
    executed: ExecAnswer | None = None


def encode_line(message: Event | Response) -> str:
    """Give an event or response as one line of JSON."""
    kind = "event" if isinstance(message, Event) else "response"
    data = asdict(message)
    return json.dumps({"protocol": PROTOCOL, "kind": kind, **(_without_secrets(data) if SECRETS else data)})


def _without_secrets(data: dict[str, Any]) -> dict[str, Any]:
    """Hide secrets in what is said in words; names, and files that the operator compares, stay as they are."""
    return {
        key: SECRETS.hidden(value) if key in _WORDS else _within(value) if key not in _NAMES else value
        for key, value in data.items()
    }


def _within(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_secrets(value)
    return [_within(one) for one in value] if isinstance(value, (list, tuple)) else value


def decode_line(text: str) -> Event | Response:
    """Read one line of an answer.

    Raises
    ------
    ProtocolError : it is none, or of another version.
    """
    data = _object(text, "answer")
    try:
        if data.pop("kind") == "event":
            return Event(**data)
        return Response(
            processes=_reports(data["processes"]),
            error=str(data["error"]),
            stale=bool(data["stale"]),
            progress=data["progress"],
            others=_reports(data["others"]),
            described=groups_of(data.get("described")),
            current=str(data.get("current", "")),
            addresses=tuple(map(str, data.get("addresses", ()))),
            resident=str(data.get("resident", "")),
            **{name: _optional(kind, data.get(name)) for name, kind in ANSWERS.items()},
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ProtocolError(f"the answer does not fit: {error}", hint=SETUP_HINT) from error


def _reports(data: Any) -> tuple[ProcessReport, ...]:
    return tuple(_report(one) for one in data)


def _report(data: Any) -> ProcessReport:
    ports = None if (given := data.get("ports")) is None else tuple(int(one) for one in given)
    return ProcessReport(**{**data, "state": State(data["state"]), "log": tuple(data["log"]), "ports": ports})


def _optional(kind: str, data: Any) -> Any:
    """Read a value of a type that is imported where it is needed; None for none."""
    if data is None:
        return None
    module, _, name = kind.partition(".")
    return decode(getattr(import_module(f"ops.core.{module}"), name), data)


def _object(text: str, what: str) -> dict[str, Any]:
    """Read a JSON object of this protocol's version, without the version."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the {what} is no JSON: {text[:200]!r}") from error
    if not isinstance(data, dict):
        raise ProtocolError(f"the {what} is no JSON object: {text[:200]!r}")
    version = data.pop("protocol", None)
    if version != PROTOCOL:
        raise ProtocolError(f"the {what} speaks protocol {version}, this tool {PROTOCOL}", hint=SETUP_HINT)
    return data
