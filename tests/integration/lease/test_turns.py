"""Agents of a lease that has gone, in whatever they wait: they do nothing more, and are in nobody's way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.core.installation import HostFile, InstallCall
from ops.core.keeping import SYSTEMD, Keeping
from ops.core.lease import Fence
from ops.core.locks import Byte, SlotLock
from ops.core.protocol import Request, Response, Verb, decode_line
from ops.core.release import Artifact, DeployAction, DeployCall, Release, ReleaseState
from ops.node.agent import carry_out
from ops.node.fence import FenceRecord
from ops.node.payload import Payload
from ops.node.releases import Releases
from tests.labs.node_host import NodeHost, end
from tests.labs.parts import GIT, needs

AGENT = (sys.executable, "-P", "-m", "ops.node")
OLD, NEW = Fence(7, "ann@here pid 1"), Fence(8, "ben@there pid 2")
RELEASE = "20260101000001"
SECONDS = 10.0  # a stuck agent is to be gone by then, on a loaded machine


class Host(NodeHost):
    """A host with two releases, whose agents are asked under leases."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.releases = Releases(root)
        self.releases.note(Release(RELEASE, ReleaseState.WHOLE))
        self.releases.path(RELEASE).mkdir()
        self.fence = FenceRecord(self.shared)

    def deploy(self, action: DeployAction, fence: Fence | None, release: str = RELEASE, **call: Any) -> Request:
        made = DeployCall(action, str(self.root), release=release, performer="ann", **call)
        return Request(Verb.DEPLOY, "h1", (), shared=str(self.shared), deploy=made, fence=fence)

    def begin(self, request: Request, payload: bytes = b"", **popen: Any) -> subprocess.Popen[str]:
        """Start an agent whose operator stays silent after the request."""
        agent = subprocess.Popen(AGENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **popen)
        self.agents.append(agent)
        assert agent.stdin is not None
        agent.stdin.buffer.write(f"{request.encode()}\n".encode() + payload)
        agent.stdin.buffer.flush()
        return agent

    def now(self, request: Request) -> Response:
        """Ask in the process of the test."""
        return carry_out(request, lambda _: None, Payload(0))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    end(made.root, made.agents)


def opened(agent: subprocess.Popen[str], path: Path) -> bool:
    """Whether an agent has a file open."""
    for descriptor in Path(f"/proc/{agent.pid}/fd").iterdir():
        with suppress(OSError):
            if descriptor.readlink() == path:
                return True
    return False


def last_word(agent: subprocess.Popen[str]) -> Response:
    """Return the response of an agent that is to end soon."""
    assert agent.stdout is not None
    agent.wait(SECONDS)
    message = decode_line(agent.stdout.read().splitlines()[-1])
    assert isinstance(message, Response)
    return message


@pytest.mark.parametrize("freed", [True, False], ids=["freed", "kept"])
def test_who_waited_for_a_lock_until_the_lease_had_gone_does_nothing_whether_it_gets_it_or_not(
    host: Host, freed: bool
) -> None:
    # Given all locks of a host held by an agent that is at work
    spec = host.spec()
    slot = replace(Request(Verb.START, "h1", (spec,)), shared=str(host.shared), fence=OLD)
    put = InstallCall((HostFile(str(host.shared / "rule"), "ours\n"),), seen={str(host.shared / "rule"): ""})
    slots = [replace(slot, verb=verb) for verb in (Verb.START, Verb.STOP, Verb.RESTART)]
    locks = {
        Path(spec.files.lock): (Byte.OPERATION, slots),
        host.shared / "releases/.lock": (
            Byte.OWNER,
            [
                host.deploy(DeployAction.CHECK, OLD), host.deploy(DeployAction.UPDATE, OLD, "20260101000002"),
                host.deploy(DeployAction.PUBLISH, OLD), host.deploy(DeployAction.REVERT, OLD, "20260101000000"),
                host.deploy(DeployAction.FINISH, OLD), host.deploy(DeployAction.MARK, OLD, reason="x"),
            ],
        ),
        host.shared / "tmp/install.lock": (
            Byte.OWNER,
            [
                replace(slot, verb=Verb.INSTALL, install=put, processes=()),
                replace(slot, verb=Verb.DISABLE, keeping=Keeping(SYSTEMD, "shop")),
            ],
        ),
    }  # fmt: skip
    with ExitStack() as stack:
        waiting = []
        for path, (byte, requests) in locks.items():
            assert stack.enter_context(SlotLock(path)).try_take(byte)
            # And agents that were admitted under a lease and wait for them
            waiting += [(host.begin(request), request, path) for request in requests]
        assert all(Deadline(30).poll(lambda a=agent, p=path: opened(a, p)) for agent, _, path in waiting)
        # When the next lease is admitted
        assert host.fence.admit(NEW) == ""
        if freed:
            stack.close()
        # Then each of them ends soon, and says who has it now
        for agent, request, _ in waiting:
            response = last_word(agent)
            said = response.error or response.processes[0].message
            assert "your lease (number 7) was taken over by ben@there pid 2 (number 8)" in said, (request, response)
            assert response.stale or not response.processes[0].ok
    # And nothing was done
    assert host.releases.current() == "20260101000000"
    assert [one.name for one in host.releases.all() if one.good] == ["20260101000000", RELEASE]
    assert not (host.shared / "rule").exists()
    assert host.processes() == []


def upload(host: Host, fence: Fence) -> tuple[Request, bytes]:
    artifact = Artifact("app.whl", 1_000_000, hashlib.sha256(b"").hexdigest())
    return host.deploy(DeployAction.UPDATE, fence, "20260101000002", artifact=artifact), os.urandom(10_000)


def hook(host: Host, fence: Fence) -> tuple[Request, bytes]:
    return host.deploy(DeployAction.HOOK, fence, name="before-updated"), b"#!/bin/sh\n"


@pytest.mark.parametrize("make", [upload, hook])
def test_an_operator_that_vanished_while_it_sent_something_is_no_reason_to_wait(host: Host, make: Any) -> None:
    # Given an agent in the middle of an upload whose operator says nothing more, and does not hang up
    request, part = make(host, OLD)
    agent = host.begin(request, part)
    if make is upload:
        assert Deadline(20).poll(host.releases.path("20260101000002").is_dir)
    else:
        assert Deadline(20).poll(lambda: host.fence.read().number == OLD.number)
    # When the next deploy begins
    assert host.now(host.deploy(DeployAction.CHECK, NEW)).error == ""
    # Then it was not kept waiting, the agent has ended, and what was there of the release is gone
    assert last_word(agent).stale
    assert host.now(host.deploy(DeployAction.PUBLISH, NEW)).error == ""
    assert sorted(path.name for path in (host.root / "releases").iterdir()) == ["20260101000000", RELEASE]


def test_an_operator_that_stands_still_and_reads_nothing_is_no_reason_to_wait(host: Host) -> None:
    # Given an agent that has much to say to an operator who reads nothing of it
    loud = ("sh", "-c", "while :; do echo 0123456789012345678901234567890123456789; done")
    host.releases.note(Release(RELEASE, ReleaseState.UPDATING))
    agent = host.begin(host.deploy(DeployAction.BUILD, OLD, build=loud))
    assert agent.stdout is not None
    assert agent.stdout.readline()
    stood = Path(f"/proc/{agent.pid}/wchan")
    assert Deadline(20).poll(lambda: "poll" in stood.read_text() or "select" in stood.read_text(), every=0.2)
    # When the next deploy begins, then it is not kept waiting, and the agent ends
    assert host.now(host.deploy(DeployAction.CHECK, NEW)).error == ""
    agent.wait(SECONDS)


def test_a_mere_look_takes_no_lock_of_the_releases(host: Host, tmp_path: Path) -> None:
    # Given a deploy that is at work for long
    with SlotLock(host.shared / "releases/.lock") as lock:
        assert lock.try_take(Byte.OWNER)
        check = host.begin(host.deploy(DeployAction.CHECK, None))
        listed = host.begin(host.deploy(DeployAction.LIST, None))
        resolve = host.begin(host.deploy(DeployAction.RESOLVE, None, source=str(tmp_path / "none"), branch="main"))
        # When somebody looks without a lease, then that waits for nobody
        assert [last_word(one).error for one in (check, listed)] == ["", ""]
        assert "the repository cannot be read" in last_word(resolve).error


@needs(GIT)
def test_a_look_finds_branches_tags_and_commits_that_the_host_knows_and_changes_nothing(
    host: Host, tmp_path: Path
) -> None:
    # Given a repository with a branch whose end is another one's name, an annotated tag, and a commit before
    source = tmp_path / "source"

    def git(*words: str) -> str:
        who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        done = subprocess.run(
            ["git", "-C", str(source), *who, *words], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    source.mkdir()
    git("init", "--quiet", "--initial-branch", "main")
    git("commit", "--quiet", "--allow-empty", "--message", "one")
    one = git("rev-parse", "HEAD")
    git("branch", "a/main")
    git("tag", "--annotate", "--message", "x", "v1")
    git("commit", "--quiet", "--allow-empty", "--message", "two")
    two = git("rev-parse", "HEAD")

    def answer(branch: str) -> Response:
        return host.now(host.deploy(DeployAction.RESOLVE, None, source=str(source), branch=branch))

    def look(branch: str) -> str:
        found = answer(branch).deployed
        assert found is not None, answer(branch)
        return found.revision

    # Then each is found, and of what is neither, nothing is known before a deploy was there
    assert [look(name) for name in ("main", "a/main", "v1", "refs/heads/main", "HEAD")] == [two, one, one, two, two]
    assert [look(name) for name in (one, one[:7], "main~1")] == ["", "", ""]
    assert not (host.root / "repo").exists()
    for name in ("none", "-x", "ma*", "main\n"):
        assert "is no branch, tag or commit of the repository" in answer(name).error
    # And once one was, what its mirror knows
    assert host.now(host.deploy(DeployAction.RESOLVE, NEW, source=str(source), branch="main")).error == ""
    assert [look(name) for name in (one, one[:7], "main~1")] == [one, one, one]


def test_an_agent_whose_own_lease_stands_goes_on_while_nothing_comes(host: Host) -> None:
    # Given an agent whose operator is slow
    request, part = hook(host, OLD)
    agent = host.begin(request, part)
    assert Deadline(20).poll(lambda: host.fence.read().number == OLD.number)
    # When the same operator asks for more meanwhile, and goes on seconds later
    assert host.now(host.deploy(DeployAction.CHECK, OLD)).error == ""
    with pytest.raises(subprocess.TimeoutExpired):
        agent.wait(2.5)
    assert agent.stdin is not None
    agent.stdin.write("exit 0\n")
    agent.stdin.close()
    # Then it is carried out
    assert last_word(agent).error == ""


def test_no_agent_takes_a_lock_beside_the_one_way() -> None:
    # Given the code that runs on hosts
    node = Path(sys.modules[FenceRecord.__module__].__file__ or "").parent
    # Then locks are made by that way, by the lease's own small files, and by processes for their own slot
    makers = {path.name for path in node.rglob("*.py") if "SlotLock(" in path.read_text()}
    assert makers == {"turn.py", "durable.py", "shim.py"}
    users = {path.name for path in node.rglob("*.py") if "durable.locked(" in path.read_text()}
    assert users == {"fence.py", "lease.py"}
