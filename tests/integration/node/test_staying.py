"""An agent that stays for the next request, as a process of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import psutil

from ops.core.deadline import Deadline
from ops.core.protocol import Request, Verb
from ops.core.serving import STAY
from tests.labs.node_host import NodeHost


def test_an_agent_whose_tool_was_replaced_takes_up_no_more(tmp_path: Path) -> None:
    # Given a venv behind a link, as setup makes it, and an agent of it
    link = tmp_path / "tool"
    for name in ("one", "two"):
        venv.create(tmp_path / name, symlinks=True)
        site = next((tmp_path / name).glob("lib/python*/site-packages"))
        (site / "tool.pth").write_text("\n".join(one for one in sys.path if one))
    link.symlink_to("one")
    argv = [link / "bin/python", "-I", "-m", "ops.node", STAY]
    request = Request(Verb.STATUS, "h1", ()).encode().encode() + b"\n"
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as agent:
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(request)
        assert [agent.stdout.readline() for _ in range(3)][-1].startswith(b'{"protocol"')
        # When setup has made another one
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(link)
        agent.stdin.write(request)
        # Then it ends without taking the next request up, so that it is put to an agent of the other
        assert agent.stdout.read() == b""
        assert agent.wait(10) == 0


def test_a_process_that_ended_under_an_agent_that_stays_is_none_to_foreign_eyes(host: NodeHost) -> None:
    # Given a process that an agent has started, which stays
    spec = host.spec()
    argv = [sys.executable, "-m", "ops.node", STAY]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as agent:
        host.agents.append(agent)  # type: ignore[arg-type]
        assert agent.stdin is not None
        assert agent.stdout is not None
        agent.stdin.write(Request(Verb.START, "h1", (spec,)).encode().encode() + b"\n")
        answer = iter(agent.stdout.readline, b"")
        assert any(b'"kind": "response"' in line for line in answer)
        pid = int(host.pidfile(spec).read_text().split()[0])
        # When it dies
        os.kill(pid, signal.SIGKILL)
        # Then its number is nobody's
        assert Deadline(10).poll(lambda: not psutil.pid_exists(pid))
        agent.stdin.close()
