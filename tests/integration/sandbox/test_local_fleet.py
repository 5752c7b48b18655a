"""One promise for both SSH servers: a host of the local fleet behaves as a real one, and breaks as a real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import psutil
import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard, members
from ops.sandbox.host import LocalHost
from ops.sandbox.hosts import LocalFleet, ServerKind
from tests.labs.parts import SSHD, require
from tests.labs.ssh_fleet import MakeHosts

pytestmark = [pytest.mark.ssh, pytest.mark.xdist_group("local fleet")]
TIMEOUT_SECONDS = 10


@pytest.fixture(scope="module", params=["openssh", "asyncssh"])
def server(request: pytest.FixtureRequest) -> ServerKind:
    """Each SSH server there is."""
    kind: ServerKind = request.param
    if kind == "openssh":
        require(SSHD)
    return kind


@pytest.fixture(scope="module")
def fleet(server: ServerKind, tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[LocalFleet]:
    """Two hosts of somebody with a secret in the environment; what a test breaks of them it mends."""
    made = LocalFleet(tmp_path_factory.mktemp("fleet") / server, 2, server)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPERATORS_SECRET", "hidden")
        made.start()
        guard(made.directory, run_owner)
        yield made
    end_all(made.directory, timeout_seconds=5)


@contextmanager
def connected(fleet: LocalFleet, host: LocalHost, **options: object) -> Iterator[paramiko.SSHClient]:
    """Log in as an operator does who trusts known_hosts alone."""
    client = paramiko.SSHClient()
    client.load_host_keys(str(fleet.known_hosts))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    settings = {
        "port": host.files.port,
        "username": host.files.user,
        "key_filename": str(fleet.key),
        "look_for_keys": False,
        "allow_agent": False,
        "timeout": TIMEOUT_SECONDS,
        "banner_timeout": TIMEOUT_SECONDS,
        **options,
    }
    try:
        client.connect(host.files.address, **settings)
        yield client
    finally:
        client.close()


def run(client: paramiko.SSHClient, command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a command to its end; gives status, stdout, stderr."""
    channel = client.get_transport().open_session()
    channel.settimeout(TIMEOUT_SECONDS)
    channel.exec_command(command)
    writer = threading.Thread(target=_write, args=(channel, stdin))
    writer.start()
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.append(channel.makefile_stderr("rb").read()))
    reader.start()
    output = channel.makefile("rb").read()
    reader.join()
    writer.join()
    assert channel.status_event.wait(TIMEOUT_SECONDS)
    status = channel.recv_exit_status()
    channel.close()
    return status, output, errors[0]


def _write(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        return  # the command ended without reading all of it


def test_a_command_gets_its_input_and_gives_output_errors_and_status(fleet: LocalFleet) -> None:
    # Given a host and a megabyte of any bytes
    data = bytes(range(256)) * 4096

    # When commands read it, write to both streams, fail, ignore it, are killed
    with connected(fleet, fleet.hosts[0]) as client:
        copied = run(client, "cat", data)
        failed = run(client, "printf out; printf err >&2; exit 7")
        ignored = run(client, "true", data)
        killed = run(client, "kill -KILL $$")
        quoted = run(client, """printf '%s|' "a  b" 'c"d' '$HOME'""")

    # Then each of them is told exactly
    assert copied == (0, data, b"")
    assert failed == (7, b"out", b"err")
    assert ignored == (0, b"", b"")
    assert killed[0] not in (0, None)
    assert quoted == (0, b'a  b|c"d|$HOME|', b"")


def test_a_session_begins_in_the_hosts_own_home_without_the_operators_environment(fleet: LocalFleet) -> None:
    # Given a fleet that was started by somebody with a secret in the environment
    for host in fleet.hosts:
        # When a command looks around there
        with connected(fleet, host) as client:
            _, output, _ = run(client, 'printf "$PWD|$HOME|$USER|$OPERATORS_SECRET|$SSH_ORIGINAL_COMMAND"')

        # Then it is at home on that host
        home = str(host.files.home)
        assert output.decode().split("|") == [home, home, host.files.user, "", ""]


def test_what_was_started_detached_outlives_command_connection_and_server(fleet: LocalFleet) -> None:
    # Given a process that was started in a session of its own
    host = fleet.hosts[0]
    with connected(fleet, host) as client:
        status, output, _ = run(client, "setsid sleep 300 >/dev/null 2>&1 </dev/null & echo $!")
    assert status == 0

    # When its connection has ended and the server ends too
    host.stop()

    # Then it still runs, and is known to belong to the sandbox
    sleeper = next(one for one in psutil.process_iter() if _is_sleeper(one, host))
    assert sleeper.is_running()
    assert sleeper.pid in [one.pid for one in members(fleet.directory)]
    assert int(output) > 0
    sleeper.kill()
    host.start()


def _is_sleeper(process: psutil.Process, host: LocalHost) -> bool:
    try:
        return process.cwd() == str(host.files.home) and process.cmdline() == ["sleep", "300"]
    except psutil.Error:
        return False


def test_a_command_goes_on_when_its_client_vanishes(fleet: LocalFleet) -> None:
    # Given a command in work that says nothing
    done = fleet.hosts[0].files.home / "vanished"
    with connected(fleet, fleet.hosts[0]) as client:
        channel = client.get_transport().open_session()
        channel.exec_command("touch begun; while [ ! -e go ]; do sleep 0.05; done; touch vanished")
        assert Deadline(TIMEOUT_SECONDS).poll(done.with_name("begun").exists)

    # When the connection is gone and it may go on
    done.with_name("go").touch()

    # Then it gets its work done
    assert Deadline(TIMEOUT_SECONDS).poll(done.exists)


def test_a_command_that_writes_to_a_vanished_client_gets_an_error(fleet: LocalFleet) -> None:
    # Given a command that goes on writing
    done = fleet.hosts[0].files.home / "unheard"
    with connected(fleet, fleet.hosts[0]) as client:
        channel = client.get_transport().open_session()
        channel.exec_command("trap '' PIPE; while echo x 2>/dev/null; do sleep 0.05; done; touch unheard")
        assert channel.recv(1) == b"x"

    # When the client is gone, then its write fails
    assert Deadline(TIMEOUT_SECONDS).poll(done.exists)


def test_files_come_and_go_by_sftp_from_the_home_folder(fleet: LocalFleet, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"\x00\xff" * 50_000)

    with connected(fleet, fleet.hosts[0]) as client, client.open_sftp() as sftp:
        before = sftp.listdir(".")
        sftp.put(str(source), "copy")
        sftp.get("copy", str(tmp_path / "back"), prefetch=False)  # its thread outlives the connection
        names = sftp.listdir(".")

    assert set(names) - set(before) == {"copy"}
    assert (fleet.hosts[0].files.home / "copy").read_bytes() == source.read_bytes()
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_many_commands_share_one_connection(fleet: LocalFleet) -> None:
    answers: dict[int, tuple[int, bytes, bytes]] = {}

    with connected(fleet, fleet.hosts[0]) as client:
        threads = [
            threading.Thread(target=lambda n=number: answers.__setitem__(n, run(client, f"cat; exit {n}", b"%d" % n)))
            for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_SECONDS)

    assert answers == {number: (number, b"%d" % number, b"") for number in range(20)}


def test_one_host_is_the_jump_to_another(fleet: LocalFleet) -> None:
    jump, target = fleet.hosts
    with connected(fleet, jump) as outer:
        place = (target.files.address, target.files.port)
        tunnel = outer.get_transport().open_channel("direct-tcpip", place, ("127.0.0.1", 0))
        with connected(fleet, target, sock=tunnel) as inner:
            assert run(inner, 'printf "$HOME"')[1].decode() == str(target.files.home)


def test_hosts_listen_on_loopback_alone(fleet: LocalFleet) -> None:
    for host in fleet.hosts:
        daemon = host.daemon
        assert daemon is not None
        listening = psutil.Process(daemon.identity.pid).net_connections(kind="inet")
        assert {one.laddr.ip for one in listening if one.status == psutil.CONN_LISTEN} == {host.files.address}
        assert host.files.address.startswith("127.")


def test_only_the_fleets_key_and_user_get_in(fleet: LocalFleet) -> None:
    host = fleet.hosts[0]
    for options in ({"username": "nobody"}, {"key_filename": None, "password": "guess"}):
        with pytest.raises(paramiko.SSHException), connected(fleet, host, **options):
            pass


def test_a_stopped_host_refuses_and_comes_back_at_its_address(fleet: LocalFleet) -> None:
    host, other = fleet.hosts
    host.stop()
    with pytest.raises(OSError), connected(fleet, host):
        pass
    with connected(fleet, other) as client:
        assert run(client, "echo up")[1] == b"up\n"
    host.start()
    with connected(fleet, host) as client:
        assert run(client, "echo back")[1] == b"back\n"


def test_a_frozen_host_hangs_until_it_is_thawed(fleet: LocalFleet) -> None:
    host = fleet.hosts[0]
    host.freeze()
    with (
        pytest.raises((paramiko.SSHException, OSError)),
        connected(fleet, host, timeout=1, banner_timeout=1),
    ):
        pass
    host.thaw()
    with connected(fleet, host) as client:
        assert run(client, "echo thawed")[1] == b"thawed\n"


def test_a_cut_ends_open_connections_and_takes_new_ones(fleet: LocalFleet) -> None:
    host = fleet.hosts[0]
    with connected(fleet, host) as client:
        transport = client.get_transport()
        assert transport.is_active()
        host.cut()
        assert Deadline(TIMEOUT_SECONDS).poll(lambda: not transport.is_active())
    with connected(fleet, host) as client:
        assert run(client, "echo new")[1] == b"new\n"


def test_a_changed_host_key_is_noticed(fleet: LocalFleet) -> None:
    host = fleet.hosts[0]
    known = fleet.known_hosts.read_text()
    old = host.public_key
    host.change_host_key()
    with pytest.raises(paramiko.BadHostKeyException), connected(fleet, host):
        pass
    fleet.known_hosts.write_text(known.replace(old, host.public_key))


def test_a_refused_key_is_refused_until_it_is_accepted(fleet: LocalFleet) -> None:
    host = fleet.hosts[0]
    host.refuse_key()
    with pytest.raises(paramiko.AuthenticationException), connected(fleet, host):
        pass
    host.accept_key()
    with connected(fleet, host) as client:
        assert run(client, "echo in")[1] == b"in\n"


def test_two_fleets_side_by_side_do_not_meet(fleet: LocalFleet, ssh_hosts: MakeHosts) -> None:
    two = ssh_hosts(1, fleet.server)
    with pytest.raises(paramiko.SSHException), connected(fleet, two.hosts[0]):
        pass
    assert {p.pid for p in members(fleet.directory)}.isdisjoint(p.pid for p in members(two.directory))
