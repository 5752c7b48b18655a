"""Jump hosts: one connection for all that are behind; and servers that close connections when too many begin."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fabric import Config

from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.fleet.transport import Target
from ops.fleet.transport.ssh import SSHTransport
from ops.sandbox.keys import make_key
from tests.labs.parts import SSH, SSHD, needs
from tests.labs.ssh_fleet import MakeHosts
from tests.labs.ssh_servers import Manners, Relay, Server, serving

HOSTS = 8
CONNECT_SECONDS = 4.0


def transport_to(folder: Path, lines: str, ssh_config: str, key: Path, *, keep: bool = False) -> SSHTransport:
    (folder / "known_hosts").write_text(lines)
    (folder / "ssh_config").write_text(ssh_config)
    kwargs = {"look_for_keys": False, "allow_agent": False, "key_filename": str(key)}
    config = Config(runtime_ssh_path=str(folder / "ssh_config"), overrides={"connect_kwargs": kwargs})
    return SSHTransport(config, str(folder / "known_hosts"), CONNECT_SECONDS, keep=keep)


def ask_all(transport: SSHTransport, user: str = "deploy", hosts: int = HOSTS) -> dict[str, str]:
    """Ask hosts at once; gives what the error of each says, nothing where it answers."""
    said: dict[str, str] = {}

    def ask(name: str) -> None:
        output: list[bytes] = []
        try:
            transport.execute(Target(name, name, user=user), ["agent"], b"", output.append, Deadline(20))
            said[name] = "" if b"".join(output) == b"here" else "nothing"
        except UnreachableError as error:
            said[name] = str(error)

    threads = [threading.Thread(target=ask, args=(f"web{number}",)) for number in range(1, hosts + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return said


def behind(server: Server, jump: str, user: str) -> str:
    """Return the ssh_config of hosts that are one server, behind a jump host."""
    return (
        f"Host web*\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump jump\n"
        f"Host jump\n  HostName 127.0.0.1\n  Port {jump}\n  User {user}\n"
    )


@needs(SSH, SSHD)
def test_hosts_behind_one_jump_host_share_a_connection_to_it(ssh_hosts: MakeHosts, tmp_path: Path) -> None:
    # Given hosts behind a jump host that closes the first two connections before its first word
    fleet = ssh_hosts(1, "openssh")
    jump = fleet.hosts[0]
    with (
        serving(tmp_path, Manners()) as server,
        Relay((jump.files.address, jump.files.port), lambda number: number > 2) as relay,
    ):
        lines = f"{server.line}[127.0.0.1]:{relay.port} {jump.public_key}\n"
        config = behind(server, str(relay.port), jump.files.user)
        transport = transport_to(tmp_path, lines, config, fleet.key)
        before = threading.active_count()
        # When all are asked at once
        assert set(ask_all(transport).values()) == {""}
        # Then one connection to it carried them all, which ends with the last of them
        assert relay.passed == 1
        assert server.connections == HOSTS
        # And the next command makes another; one that is kept stays, and is made anew when it breaks
        assert set(ask_all(transport, hosts=2).values()) == {""}
        assert relay.passed == 2
        kept = transport_to(tmp_path, lines, config, fleet.key, keep=True)
        for passed in (3, 3):
            assert set(ask_all(kept, hosts=3).values()) == {""}
            assert relay.passed == passed
        jump.cut()
        assert set(ask_all(kept, hosts=3).values()) == {""}
        assert relay.passed == 4
        kept.close()
        server.manners.over.set()
        assert Deadline(10).poll(lambda: threading.active_count() <= before + 1)


@needs(SSH)
def test_a_jump_host_that_lets_few_through_at_once_lets_all_through_in_the_end(tmp_path: Path) -> None:
    # Given hosts behind a jump host that lets two connections through at once
    make_key(tmp_path / "id")
    with serving(tmp_path, Manners(most_passages=2)) as jump, serving(tmp_path, Manners()) as server:
        config = behind(server, str(jump.port), "deploy")
        # When all are asked at once
        said = ask_all(transport_to(tmp_path, jump.line + server.line, config, tmp_path / "id"), hosts=5)
        # Then all were, one after the other, over one connection
        assert set(said.values()) == {""}, said
        assert jump.connections == 1
        assert jump.manners.refused_passages > 0
        # And one that lets nobody through is not waited for
        jump.manners.most_passages = 0
        waited = Deadline(3)
        said = ask_all(transport_to(tmp_path, jump.line + server.line, config, tmp_path / "id"), hosts=1)
        assert not waited.expired
    assert "the jump host jump" in said["web1"]


@needs(SSH, SSHD)
def test_a_jump_host_that_is_down_is_waited_for_once(tmp_path: Path) -> None:
    # Given hosts behind a jump host that never says a word
    make_key(tmp_path / "id")
    with serving(tmp_path, Manners("accept")) as jump, serving(tmp_path, Manners()) as server:
        transport = transport_to(
            tmp_path, jump.line + server.line, behind(server, str(jump.port), "deploy"), tmp_path / "id"
        )
        waited = Deadline(3 * CONNECT_SECONDS)
        # When all are asked at once
        said = ask_all(transport)
    # Then all know it within the time for one, each under its own name
    assert not waited.expired
    assert all(text.startswith(f"{name} (127.0.0.1:{jump.port}): no answer") for name, text in said.items())
    assert len(said) == HOSTS


@needs(SSH, SSHD)
def test_of_hosts_behind_a_jump_host_those_that_are_down_are_named(ssh_hosts: MakeHosts, tmp_path: Path) -> None:
    # Given hosts behind a jump host, nobody at their port
    fleet = ssh_hosts(1, "openssh")
    jump = fleet.hosts[0].files
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = (
        f"Host web*\n  HostName 127.0.0.1\n  Port {port}\n  ProxyJump jump\n"
        f"Host jump\n  HostName {jump.address}\n  Port {jump.port}\n  User {jump.user}\n"
    )
    transport = transport_to(tmp_path, fleet.known_hosts.read_text(), config, fleet.key)
    # When all are asked at once
    said = ask_all(transport)
    # Then each is told so
    assert len(said) == HOSTS
    for name, text in said.items():
        assert text.startswith(name)
        assert "the jump host jump could not connect to it" in text


@pytest.mark.parametrize("admit", [lambda number: number > 3, lambda number: number % 3 == 0])
def test_a_server_with_too_many_connections_is_asked_again(tmp_path: Path, admit: Callable[[int], bool]) -> None:
    # Given a server that closes connections before its first word, as sshd does beyond MaxStartups
    make_key(tmp_path / "id")
    with serving(tmp_path, Manners()) as server, Relay(("127.0.0.1", server.port), admit) as relay:
        lines = server.line.replace(str(server.port), str(relay.port))
        config = f"Host web*\n  HostName 127.0.0.1\n  Port {relay.port}\n"
        # When several ask at once
        said = ask_all(transport_to(tmp_path, lines, config, tmp_path / "id"), hosts=3)
    # Then all get in
    assert set(said.values()) == {""}


def test_a_server_that_closes_every_connection_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    # Given a server that closes every connection
    make_key(tmp_path / "id")
    with Relay(("127.0.0.1", 1), lambda _: False) as relay:
        config = f"Host web*\n  HostName 127.0.0.1\n  Port {relay.port}\n  ConnectTimeout 1\n"
        waited = Deadline(15)
        said = ask_all(transport_to(tmp_path, "", config, tmp_path / "id"), hosts=1)
        # Then it is tried several times, and said to do so
        assert not waited.expired
        assert relay.connections >= 3
    assert "closes connections before its first word" in said["web1"]
    assert "MaxStartups" in said["web1"]


def test_a_server_that_restarts_is_asked_again(tmp_path: Path) -> None:
    # Given a port where nobody listens for a moment
    make_key(tmp_path / "id")
    with serving(tmp_path, Manners()) as server:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        made: list[Relay] = []

        def later() -> None:
            time.sleep(0.3)
            made.append(Relay(("127.0.0.1", server.port), port=port))

        threading.Thread(target=later).start()
        lines = server.line.replace(str(server.port), str(port))
        config = f"Host web*\n  HostName 127.0.0.1\n  Port {port}\n"
        # Then it is asked again
        assert ask_all(transport_to(tmp_path, lines, config, tmp_path / "id"), hosts=1) == {"web1": ""}
        made[0].__exit__()


@needs(SSH)
def test_a_program_may_stand_for_the_connection(tmp_path: Path) -> None:
    # Given a ProxyCommand that connects, needs a shell, and one that fails
    make_key(tmp_path / "id")
    program = tmp_path / "connect.py"
    program.write_text(
        "import os, socket, sys, threading\n"
        "there = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def pump():\n"
        "    while part := os.read(0, 65536): there.sendall(part)\n"
        "    there.shutdown(1)\n"
        "threading.Thread(target=pump, daemon=True).start()\n"
        "while part := there.recv(65536): os.write(1, part)\n"
    )
    with serving(tmp_path, Manners()) as server:
        line = f"web1 {server.line.split(' ', 1)[1]}"
        good = f"Host web1\n  ProxyCommand python3 {program} $(echo 127.0.0.1) {server.port}\n"
        bad = "Host web1\n  ProxyCommand echo 'no way: %h:%p' >&2\n"
        # Then the one is as good as a connection
        assert ask_all(transport_to(tmp_path, line, good, tmp_path / "id"), hosts=1) == {"web1": ""}
        # And what the other one says is shown
        said = ask_all(transport_to(tmp_path, line, bad, tmp_path / "id"), hosts=1)["web1"]
    assert "its ProxyCommand ended without a connection: no way: web1:22" in said
