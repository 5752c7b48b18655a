"""The agent answers whatever the host lacks: an operator who gets no answer knows nothing."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.core.history import HistoryAction, HistoryCall
from ops.core.installation import FactsCall
from ops.core.lease import LeaseAction, LeaseCall
from ops.core.process import ProcessSpec
from ops.core.protocol import LogCall, Request, Verb
from ops.core.release import DeployAction, DeployCall
from ops.core.remote_command import ExecCall
from ops.core.slot import Roster, Slot, SlotFiles
from ops.node.agent import carry_out
from ops.node.payload import Payload


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Let this process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "verb",
    sorted(set(Verb) - {Verb.INSTALL, Verb.UNINSTALL, Verb.ENABLE, Verb.DISABLE, Verb.MIGRATE}),
)
@pytest.mark.parametrize("loaded", [False, True])
def test_a_host_that_can_open_nothing_more_answers_nevertheless(verb: Verb, loaded: bool, tmp_path: Path) -> None:
    # Given a process's slot, and a request for it or for its host
    files = SlotFiles.below(str(tmp_path), "tmp/pids/karafka.pid", Slot("karafka", 0))
    spec = ProcessSpec("karafka-0", (sys.executable, "-c", ""), str(tmp_path), files)
    request = Request(
        verb,
        "h1",
        (spec,),
        shared=str(tmp_path),
        roster=Roster("tmp/pids/karafka.pid", ("karafka-0",)),
        lease=LeaseCall(LeaseAction.ACQUIRE, key="k", holder="ann"),
        history=HistoryCall(HistoryAction.LIST),
        log=LogCall(2),
        facts=FactsCall(str(tmp_path)),
        deploy=DeployCall(DeployAction.LIST, str(tmp_path)),
        exec=ExecCall(("true",), 5.0),
    )
    if loaded:  # the agent's own modules are there, so that the verb itself comes upon it
        carry_out(request, lambda _: None, Payload(0))
    # When the agent has no descriptor left
    with no_descriptor_left():
        response = carry_out(request, lambda _: None, Payload(0))
    # Then there is an answer, and it is none that says that all was done
    assert response.error or verb not in (Verb.START, Verb.RESTART) or not all(one.ok for one in response.processes)
