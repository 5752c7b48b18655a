"""A host may hang anywhere: every wait of the SSH transport has a deadline."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from fabric import Config

from ops.core.deadline import Deadline
from ops.core.errors import ExitCode, OpsError, UnreachableError
from ops.fleet.transport import HungError, Target, sockets
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.ssh import SSHTransport
from ops.fleet.transport.staying import StayingAgents
from ops.sandbox.keys import make_key
from tests.labs.parts import SSHD, needs
from tests.labs.ssh_fleet import MakeHosts
from tests.labs.ssh_servers import STAGES, Manners, Relay, Server, serving

CONNECT_SECONDS, ANSWER_SECONDS = 2.0, 2.0


def transport_to(folder: Path, lines: str, *, keep: bool = False, key: Path | None = None) -> SSHTransport:
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(lines)
    if key is None:
        key = folder / "id"
        if not key.exists():
            make_key(key)
    kwargs = {"key_filename": [str(key)], "look_for_keys": False, "allow_agent": False}
    config = Config(overrides={"connect_kwargs": kwargs, "load_ssh_configs": False})
    return SSHTransport(config, str(known_hosts), CONNECT_SECONDS, keep=keep)


def at_once(work: dict[str, Callable[[], object]], seconds: float) -> dict[str, OpsError]:
    """Do all of it side by side; gives what each raised."""
    found: dict[str, OpsError] = {}

    def run(name: str) -> None:
        try:
            work[name]()
        except OpsError as error:
            found[name] = error

    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in work]
    deadline = Deadline(seconds)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(deadline.remaining)
    return found


def test_a_host_that_hangs_anywhere_is_unreachable_within_the_deadlines(tmp_path: Path) -> None:
    # Given a host for each place where one may hang, and one that does not
    with ExitStack() as stack:
        servers = {stage: stack.enter_context(serving(tmp_path, Manners(stage))) for stage in (*STAGES, "")}
        lines = "".join(server.line for server in servers.values())
        transport = transport_to(tmp_path, lines)
        staying = StayingAgents(transport_to(tmp_path, lines, keep=True))

        def command(server: Server) -> object:
            return transport.execute(server.target(), ["agent"], b"", lambda _: None, Deadline(ANSWER_SECONDS))

        def request(server: Server) -> object:
            ask = ["python", "-m", "ops.node"]
            return staying.execute(server.target(), ask, b"{}\n", lambda _: None, Deadline(ANSWER_SECONDS))

        work: dict[str, Callable[[], object]] = {
            f"{kind} {stage}": lambda do=do, server=server: do(server)  # type: ignore[misc]
            for stage, server in servers.items()
            for kind, do in (("command", command), ("request", request))
        }
        # When each is given a command, and asked as an agent that stays
        found = at_once(work, 40)
        staying.close()
    # Then each wait was over in time, with the exit code of a host that cannot be asked; the good one answered
    assert set(found) == {f"{kind} {stage}" for stage in STAGES for kind in ("command", "request")}, found
    for name, error in found.items():
        assert isinstance(error, UnreachableError), name
        assert error.exit_code is ExitCode.UNREACHABLE
        assert "no answer within 2 s" in str(error), f"{name}: {error}"
        assert "host1" in error.where


@needs(SSHD)
@pytest.mark.parametrize("way", ["itself", "a jump host"])
def test_a_network_that_stalls_while_something_is_sent_ends_by_the_deadline(
    ssh_hosts: MakeHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # Given a host, or the one that leads to it, behind a network that takes nothing any more at some point, and hardly
    # anything that could wait in this machine
    connect = sockets.connect

    def narrow(config: ClientConfig, seconds: float) -> socket.socket:
        made = connect(config, seconds)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 14)
        return made

    monkeypatch.setattr(sockets, "connect", narrow)
    fleet = ssh_hosts(2, "openssh")
    jump, host = (one.files for one in fleet.hosts)
    first = jump if way == "a jump host" else host
    with Relay((first.address, first.port)) as relay:
        lines = fleet.known_hosts.read_text()
        lines += f"[127.0.0.1]:{relay.port} {fleet.hosts[0 if way == 'a jump host' else 1].public_key}\n"
        transport = transport_to(tmp_path, lines, keep=way == "kept", key=fleet.key)
        target = Target("host1", "127.0.0.1", relay.port, host.user)
        if way == "a jump host":
            file = tmp_path / "ssh_config"
            text = f"Host jump\n  HostName 127.0.0.1\n  Port {relay.port}\n  User {jump.user}\n"
            file.write_text(f"{text}Host {host.address}\n  ProxyJump jump\n")
            kwargs = {"key_filename": [str(fleet.key)], "look_for_keys": False, "allow_agent": False}
            config = Config(runtime_ssh_path=str(file), overrides={"connect_kwargs": kwargs})
            transport = SSHTransport(config, str(tmp_path / "known_hosts"), CONNECT_SECONDS)
            target = Target("host1", host.address, host.port, host.user)
        if way == "kept":
            transport.execute(target, ["true"], b"", lambda _: None, Deadline(20))

        def parts() -> object:
            while True:
                yield bytes(1 << 20)
                if relay.bytes > 4 << 20:
                    relay.frozen.set()

        waited = Deadline(20)
        # When something large is sent there
        with pytest.raises(HungError, match="no answer within 3 s"):
            transport.execute(target, ["sh", "-c", "cat >/dev/null"], parts(), lambda _: None, Deadline(3))  # type: ignore[arg-type]
        # Then the caller is free again
        assert not waited.expired
        relay.frozen.clear()
        transport.close()


def test_a_name_that_is_not_looked_up_in_time_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a name server that does not answer
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: over.wait(60))
    waited = Deadline(15)
    # When a host is looked up
    transport = transport_to(tmp_path, "")
    with pytest.raises(UnreachableError, match="no answer within 2 s"):
        transport.execute(Target("host1", "web1.example.com"), ["true"], b"", lambda _: None, Deadline(20))
    # Then the caller is free again
    assert not waited.expired
    over.set()
