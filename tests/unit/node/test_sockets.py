"""What the kernel tells of connections, of real ones."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ops.node import sockets

CONNECT = """
import socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(flush=True)
input()
"""


@contextmanager
def client(port: int, *before: str) -> Iterator[int]:
    """Run a process that is connected to a port."""
    command = [*before, sys.executable, "-c", CONNECT, str(port)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            process.stdout.readline()
            yield process.pid
        finally:
            process.stdin.close()
            process.wait(10)


@pytest.mark.parametrize("before", [(), ("sh", "-c", '"$@" & wait', "sh")], ids=["itself", "its child"])
def test_the_remote_ports_of_a_process_and_its_children_are_told(before: tuple[str, ...]) -> None:
    # Given a process that is connected to a port, or a wrapper whose child is
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        inherit = ("sh", "-c", 'exec 3<&0; "$@" <&3 & wait', "sh") if before else ()
        with client(port, *inherit) as pid:
            # Then that port is told, and of this process, which accepts, no such one
            assert sockets.remote_ports([pid]) == {pid: (port,)}


def test_a_process_without_connections_has_none_and_one_that_has_ended_is_unknown() -> None:
    # Given a process that is connected to nothing
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        assert sockets.remote_ports([process.pid]) == {process.pid: ()}
        process.kill()
        process.wait(10)
        # Then one that is gone is not called so
        assert sockets.remote_ports([process.pid]) == {process.pid: None}


def test_a_hosts_own_addresses_are_told() -> None:
    # Given this machine
    found = sockets.addresses()
    # Then its loopback address is one, and each can be bound
    assert "127.0.0.1" in found
    for address in found:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
            one.bind((address, 0))
