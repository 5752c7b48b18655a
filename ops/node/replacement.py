"""One attempt to replace a slot's owner by a warm process; the two hand the slot over among themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.handover import CAPABLE, HANDOVER, KILL_WAIT_SECONDS, PREPARE_SECONDS, STANDBY_FIELD, TAKEN_FIELD
from ops.core.identity import Identity
from ops.core.protocol import ProcessSpec
from ops.core.states import State
from ops.node import ending
from ops.node.ending import Say
from ops.node.inspection import Finding
from ops.node.launch import Launch, Readiness

_SLACK_SECONDS = 1.0  # its own alarm comes first, and says the same
_END_SECONDS = 2.0  # how long a replacement that is given up may take to end


def prepare_seconds(spec: ProcessSpec) -> float:
    """Give how long a replacement may take until it is warm."""
    return min(PREPARE_SECONDS, spec.start_timeout_seconds)


def seconds(spec: ProcessSpec) -> float:
    """Give how long one attempt may take."""
    return prepare_seconds(spec) + spec.stop_timeout_seconds + KILL_WAIT_SECONDS + spec.start_timeout_seconds


def possible(spec: ProcessSpec, found: Finding) -> bool:
    """Whether the owner speaks this version of the protocol and is at work."""
    said = found.consumer or {}
    return (
        spec.standby == "auto"
        and spec.readiness == "notify"
        and said.get(CAPABLE) == HANDOVER
        and said.get("state") == State.RUNNING
    )


@dataclass(frozen=True)
class Attempt:
    """How an attempt ended.

    Attributes
    ----------
    process : the replacement, where it works.
    how : in words.
    clear : it ended by itself, saying why: the same again would come of the same.
    timings : see `ops.core.protocol.ProcessReport`.
    """

    process: Identity | None
    how: str
    clear: bool = False
    timings: dict[str, float] = field(default_factory=dict)


def attempt(spec: ProcessSpec, old: Identity, say: Say) -> Attempt:
    """Start a replacement and watch it take over; one that doesn't in time is ended, the owner is never touched."""
    timings: dict[str, float] = {}
    killed = ""
    began = time.monotonic()
    with Launch(spec, standby_seconds=prepare_seconds(spec)) as launch:
        try:
            process = launch.spawn()
        except OpsError as error:
            return Attempt(None, str(error), clear=True)
        say("spawned", f"process {process.pid}, to replace process {old.pid}")
        waits = (
            ("standby", STANDBY_FIELD, "warm", prepare_seconds(spec) + _SLACK_SECONDS, "standby"),
            ("drain", TAKEN_FIELD, "given the slot", spec.stop_timeout_seconds + KILL_WAIT_SECONDS, "handing over"),
            ("takeover", "READY", "ready", spec.start_timeout_seconds, "ready"),
        )
        for name, word, state, limit, step in waits:
            waited = launch.wait_for(word, state, process, Deadline(limit), say)
            now = time.monotonic()
            if not waited.ready:
                return _failed(process, waited, timings, say)
            timings[name] = round(now - began, 4)
            began = now
            if name == "drain" and waited.status:
                killed = f"; {waited.status}"
                say("killed", waited.status)
            say(step, waited.how.removeprefix(f"{step} "))
    text = ", ".join(f"{name} {took:.2f} s" for name, took in timings.items())
    return Attempt(process, f"handed over to process {process.pid} ({text}){killed}", timings=timings)


def _failed(process: Identity, waited: Readiness, timings: dict[str, float], say: Say) -> Attempt:
    """End a replacement that did not make it."""
    ended = ending.end(process, _END_SECONDS, say)
    then = ended.swept if waited.ended else str(ended)
    how = f"the replacement failed: {waited.how}" + (f"; {then}" if then else "")
    clear = waited.exit_code is not None and waited.exit_code >= 0
    say("failed", waited.how)
    return Attempt(None, how, clear, timings)
