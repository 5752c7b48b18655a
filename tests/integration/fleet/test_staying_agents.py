"""Agents that stay on their hosts for the next request, over real SSH."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ops.core.asking import Ask, Question
from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.core.protocol import Verb
from ops.core.release import Artifact, DeployAction, DeployCall
from ops.core.serving import STAY
from ops.core.states import State
from ops.core.verb import LogCall
from ops.fleet.conversation import AgentError, ask
from ops.fleet.observer import Observer
from ops.fleet.plan import HostAction
from ops.fleet.transport.ssh import SSHTransport
from ops.fleet.transport.staying import StayingAgents
from tests.labs.ssh_fleet import MakeFleet, SSHFleet


def agents(fleet: SSHFleet) -> set[int]:
    """Return the agents that stay, as children of this fleet's servers."""
    mark, found = str(fleet.local.directory), set()
    for process in psutil.process_iter(["pid", "cmdline"]):
        if process.info["cmdline"] and process.info["cmdline"][-1] == STAY:
            with suppress(psutil.Error):  # one that ends meanwhile, or another user's
                parents = [" ".join(one.cmdline()) for one in process.parents()]
                if any(mark in line for line in parents) or mark in " ".join(process.environ().values()):
                    found.add(process.info["pid"])
    return found


def prepared(fleets: MakeFleet) -> tuple[SSHFleet, StayingAgents, HostAction]:
    fleet = fleets(1, "openssh")
    ssh = SSHTransport(fleet.config, str(fleet.local.known_hosts), fleet.timeout, keep=True)
    return fleet, StayingAgents(ssh), fleet.plan(Verb.STATUS).batches[0][0]


def test_one_agent_answers_one_request_after_the_other_and_several_side_by_side(fleet: MakeFleet) -> None:
    # Given an agent that has answered
    there, transport, action = prepared(fleet)
    first = ask(transport, action, lambda _: None)
    (pid,) = agents(there)
    # When it is asked again
    again = [ask(transport, action, lambda _: None) for _ in range(3)]
    # Then it is the same one, with the same answer, but that time has passed
    seen = [[(each.name, each.state) for each in one.processes] for one in (first, *again)]
    assert seen == [[("karafka-0", State.STOPPED)]] * 4
    assert agents(there) == {pid}
    # And two that are asked at the same time are two
    follow = replace(action.request, verb=Verb.LOG, log=LogCall(follow=True))
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(ask, transport, replace(action, request=follow, deadline_seconds=3.0), lambda _: None)
        assert [one.state for one in ask(transport, action, lambda _: None).processes] == [State.STOPPED]
        assert len(agents(there)) == 2
        with pytest.raises(Exception, match="no answer within 3 s"):
            following.result(30)


def test_an_artifact_follows_its_request_to_the_agent_that_stays_and_what_it_refuses_is_no_request(
    fleet: MakeFleet,
) -> None:
    # Given an agent that has answered, and an archive that is larger than what is on its way at any time
    there, transport, action = prepared(fleet)
    ask(transport, action, lambda _: None)
    (pid,) = agents(there)
    root = Path(action.request.shared).parent
    content = os.urandom(8_000_000)

    def upload(name: str, first: bytes) -> HostAction:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for kind, path, data in ((first, "first", b""), (tarfile.REGTYPE, "file", content)):
                member = tarfile.TarInfo(path)
                member.type, member.size = kind, len(data)
                archive.addfile(member, io.BytesIO(data))
        data = packed.getvalue()
        artifact = Artifact("app.tar", len(data), hashlib.sha256(data).hexdigest())
        call = DeployCall(DeployAction.UPDATE, str(root), release=name, artifact=artifact)
        request = replace(action.request, verb=Verb.DEPLOY, processes=(), deploy=call)
        return replace(action, request=request, payload=lambda: (data[:65536], data[65536:]))

    # When it is sent
    ask(transport, upload("20260101000001", tarfile.DIRTYPE), lambda _: None)
    # Then that very agent has taken it, and answers the next request, too
    assert (root / "releases/20260101000001/file").read_bytes() == content
    assert ask(transport, action, lambda _: None).processes
    assert agents(there) == {pid}
    # And of one that is refused at its begin the rest is no request: another agent answers the next one
    with pytest.raises(AgentError, match="'first' is a fifo"):
        ask(transport, upload("20260101000002", tarfile.FIFOTYPE), lambda _: None)
    assert ask(transport, action, lambda _: None).processes
    assert pid not in agents(there)


def test_who_asks_the_cluster_stays_as_well(fleet: MakeFleet) -> None:
    # Given a question about a cluster that is not there
    there, transport, action = prepared(fleet)
    observer = Observer(transport, (action,))
    question = Question(Ask.TOPICS, ("some",), "127.0.0.1:9", timeout_seconds=0.5)
    troubles = []
    for _ in range(2):
        # When it is put twice
        with pytest.raises(UnreachableError) as caught:
            observer.ask(question)
        troubles.append(str(caught.value))
    # Then one process has answered both
    assert troubles[0] == troubles[1]
    assert "127.0.0.1:9" in troubles[0]
    (pid,) = agents(there)
    assert "ops.kafka" in psutil.Process(pid).cmdline()


def test_an_agent_that_died_before_it_took_a_request_up_is_followed_by_another(fleet: MakeFleet) -> None:
    # Given an agent that stayed, frozen
    there, transport, action = prepared(fleet)
    ask(transport, action, lambda _: None)
    (pid,) = agents(there)
    os.kill(pid, signal.SIGSTOP)
    # When it is asked again, and killed before it reads that
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, transport, action, lambda _: None)
        assert Deadline(10).poll(lambda: not transport._idle)
        os.kill(pid, signal.SIGKILL)
        # Then another one answers
        assert asked.result(30).processes
    (other,) = agents(there)
    assert other != pid
    # And one that died long before it is asked is followed as well
    os.kill(other, signal.SIGKILL)
    assert Deadline(10).poll(lambda: not agents(there))
    assert ask(transport, action, lambda _: None).processes


def test_an_agent_that_does_not_say_that_it_is_there_is_followed_by_another(fleet: MakeFleet) -> None:
    # Given an agent that stayed, and whose connection is dead without a word
    there, transport, action = prepared(fleet)
    ask(transport, action, lambda _: None)
    (pid,) = agents(there)
    os.kill(pid, signal.SIGSTOP)
    try:
        # When the host is asked again
        began = time.monotonic()
        response = ask(transport, replace(action, deadline_seconds=60.0), lambda _: None)
        # Then another one answers, as soon as a connection would have been given up
        assert response.processes
        assert time.monotonic() - began < there.timeout + 10
    finally:
        os.kill(pid, signal.SIGKILL)


def test_agents_end_with_their_command(fleet: MakeFleet) -> None:
    # Given an agent that stayed
    there, transport, action = prepared(fleet)
    with transport:
        ask(transport, action, lambda _: None)
        assert agents(there)
        # When its command is through
    # Then it ends
    assert Deadline(10).poll(lambda: not agents(there))


def test_an_agent_that_dies_at_work_is_told_and_its_request_is_not_put_again(fleet: MakeFleet) -> None:
    # Given an agent that stayed
    there, transport, action = prepared(fleet)
    ask(transport, action, lambda _: None)
    (pid,) = agents(there)
    # When it has taken a long request up, and is killed
    follow = replace(action.request, verb=Verb.LOG, log=LogCall(follow=True))
    said: list[bytes] = []
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            transport.execute, action.target, action.agent, f"{follow.encode()}\n".encode(), said.append, Deadline(20)
        )
        assert Deadline(10).poll(lambda: bool(said))
        os.kill(pid, signal.SIGKILL)
        # Then that is told, and no other agent was asked
        assert asked.result(30).code in (None, 137)
    assert not agents(there)


def test_what_is_no_request_ends_the_agent(fleet: MakeFleet) -> None:
    # Given an agent
    there, transport, action = prepared(fleet)
    said: list[bytes] = []
    # When it is asked nonsense
    end = transport.execute(action.target, action.agent, b"nonsense\n", said.append, Deadline(20))
    # Then it says so, and does not stay
    assert b"is no JSON" in b"".join(said)
    assert end.code in (0, 2)
    assert Deadline(10).poll(lambda: not agents(there))


def test_a_connection_takes_the_cipher_that_costs_an_upload_least(fleet: MakeFleet) -> None:
    # Given a host whose server has all ciphers
    there = fleet(1, "openssh")
    ssh = SSHTransport(there.config, str(there.local.known_hosts), there.timeout)
    # When a command is begun there
    line, *_ = ssh.begin(there.plan(Verb.STATUS).batches[0][0].target, ("true",), Deadline(20))
    # Then what is sent is encrypted and authenticated in one pass
    try:
        assert line.hop.transport.remote_cipher.startswith("aes128-gcm")
    finally:
        line.close()
