"""What every transport keeps: the real one over SSH, this machine's, and the fake."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fabric import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.core.identity import Identity
from ops.fleet.transport import ERROR_BYTES, Exit, HungError, Input, Target, Transport
from ops.fleet.transport.fake import Answer, FakeTransport
from ops.fleet.transport.local import LocalTransport
from ops.fleet.transport.ssh import SSHTransport
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet, ServerKind
from tests.labs.parts import SSHD, require
from tests.labs.ssh_fleet import MakeHosts

pytestmark = pytest.mark.xdist_group("transport contract")  # they share hosts

ECHO = ("cat",)
SPLIT = ("sh", "-c", "printf one; printf two >&2; exit 3")
NOISY = ("sh", "-c", "head -c 20000 /dev/zero | tr '\\0' x >&2; printf end >&2")
SLEEP = ("sleep", "20")
KILLED = ("sh", "-c", "kill -9 $$")
ENDLESS = ("sh", "-c", "while echo line; do sleep 0.01; done")


def fake(command: tuple[str, ...], data: bytes) -> Answer:
    """Play the commands above."""
    return {
        ECHO: Answer([data[:100], data[100:]]),
        SPLIT: Answer([b"one"], Exit(3, "two")),
        NOISY: Answer([], Exit(0, "x" * 20_000 + "end")),
        SLEEP: Answer([], hold=threading.Event()),
        KILLED: Answer([], Exit(None)),
        ENDLESS: Answer([b"line\n"] * 100),
    }[command]


@dataclass
class Way:
    """One transport and the host it reaches."""

    transport: Transport
    target: Target

    def execute(self, command: tuple[str, ...], data: Input = b"", seconds: float = 20.0) -> tuple[Exit, bytes]:
        parts: list[bytes] = []
        end = self.transport.execute(self.target, command, data, parts.append, Deadline(seconds))
        return end, b"".join(parts)


def fabric_config(fleet: LocalFleet) -> Config:
    kwargs = {"key_filename": [str(fleet.key)], "look_for_keys": False, "allow_agent": False}
    return Config(overrides={"connect_kwargs": kwargs, "load_ssh_configs": False})


class Fleets:
    """One host behind each kind of SSH server, which all tests of the module share."""

    def __init__(self, folder: Path, owner: Identity) -> None:
        self._folder, self._owner = folder, owner
        self._started: dict[ServerKind, LocalFleet] = {}

    def of(self, server: ServerKind) -> LocalFleet:
        if server == "openssh":
            require(SSHD)
        if server not in self._started:
            fleet = LocalFleet(self._folder / server, 1, server)
            self._started[server] = fleet
            fleet.start()
            guard(fleet.directory, self._owner)
        return self._started[server]

    def end(self) -> None:
        for fleet in self._started.values():
            end_all(fleet.directory, timeout_seconds=5)


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Fleets]:
    made = Fleets(tmp_path_factory.mktemp("fleets"), run_owner)
    yield made
    made.end()


@pytest.fixture(params=["openssh", "asyncssh", "kept", "local", "fake"])
def way(request: pytest.FixtureRequest, fleets: Fleets) -> Iterator[Way]:
    if request.param == "local":
        yield Way(LocalTransport(), Target("host1", "localhost"))
    elif request.param == "fake":
        yield Way(FakeTransport({"host1": fake}), Target("host1", "localhost"))
    else:
        kept = request.param == "kept"  # connections, from one command to the next
        fleet = fleets.of("asyncssh" if request.param == "asyncssh" else "openssh")
        files = fleet.hosts[0].files
        transport = SSHTransport(fabric_config(fleet), str(fleet.known_hosts), 10.0, keep=kept)
        yield Way(transport, Target(files.name, files.address, files.port, files.user))
        transport.close()


def test_input_arrives_whole_and_output_comes_back_in_order(way: Way) -> None:
    # Given more input than any buffer on the way holds
    data = b"".join(b"%07d\n" % number for number in range(100_000))
    # When a command gives it back, sent as a whole and in parts
    for given_data in (data, (data[at : at + 70_000] for at in range(0, len(data), 70_000))):
        end, output = way.execute(ECHO, given_data)
        # Then nothing is missing or out of order
        assert output == data
        assert end == Exit(0, "")


def test_output_errors_and_exit_code_are_told_apart(way: Way) -> None:
    # When a command writes to both and fails
    end, output = way.execute(SPLIT)
    # Then each is where it belongs
    assert (output, end) == (b"one", Exit(3, "two"))


def test_of_the_errors_the_end_is_kept(way: Way) -> None:
    # When a command writes a lot to standard error
    end, _ = way.execute(NOISY)
    # Then memory stays bounded and the last words are there
    assert len(end.errors) == ERROR_BYTES
    assert end.errors.endswith("xend")


def test_a_command_ended_by_a_signal_is_no_success(way: Way) -> None:
    # When a signal ends the command
    end, _ = way.execute(KILLED)
    # Then it has no exit code, or the one that a shell in between makes of it
    assert end.code in (None, 128 + 9)


def test_a_command_that_hangs_ends_by_its_deadline(way: Way) -> None:
    # Given a command that takes longer than its deadline
    waited = Deadline(18)
    # When it is run
    with pytest.raises(HungError) as caught:
        way.execute(SLEEP, seconds=0.5)
    # Then the caller is free again soon, and knows where it hung
    assert not waited.expired
    assert "host1" in str(caught.value)


def test_what_the_receiver_raises_ends_the_command_and_is_passed_on(way: Way) -> None:
    # Given a receiver that has had enough after the first part
    def refuse(part: bytes) -> None:
        raise ValueError(part[:4])

    # When an endless command talks to it
    with pytest.raises(ValueError, match="line"):
        way.transport.execute(way.target, ENDLESS, b"", refuse, Deadline(20))


def test_several_threads_use_it_at_once(way: Way) -> None:
    # Given eight threads with an input of their own
    found: dict[int, bytes] = {}

    def work(number: int) -> None:
        found[number] = way.execute(ECHO, b"%d" % number)[1]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    # When all of them run a command
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    # Then each got its own answer
    assert found == {number: b"%d" % number for number in range(8)}


words = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20), max_size=4)


def test_arguments_survive_the_shell_on_the_host(fleets: Fleets) -> None:
    # Given a host behind a shell
    fleet = fleets.of("asyncssh")
    files = fleet.hosts[0].files
    transport = SSHTransport(fabric_config(fleet), str(fleet.known_hosts), 10.0, keep=True)
    target = Target(files.name, files.address, files.port, files.user)
    program = "import json, os, sys; print(json.dumps([list(os.fsencode(one)) for one in sys.argv[1:]]))"

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(words)
    def check(arguments: list[str]) -> None:
        # When any arguments go there
        output: list[bytes] = []
        transport.execute(target, [sys.executable, "-c", program, *arguments], b"", output.append, Deadline(20))
        # Then they arrive as they are
        assert [bytes(one).decode() for one in json.loads(b"".join(output))] == arguments

    check()
    transport.close()


def test_a_program_that_is_not_there_is_no_exception(tmp_path: Path) -> None:
    # When this machine is asked for a program it does not have
    end = LocalTransport().execute(Target("host1", ""), [str(tmp_path / "none")], b"", lambda _: None, Deadline(5))
    # Then the answer is a shell's
    assert end.code == 127
    assert "none" in end.errors


def test_the_fake_raises_what_its_script_says_and_notes_what_was_asked() -> None:
    # Given a host that is down
    transport = FakeTransport({"host1": UnreachableError("down", where="host1")})
    # When it is asked
    with pytest.raises(UnreachableError, match="down"):
        transport.execute(Target("host1", ""), ["true"], b"x", lambda _: None, Deadline(1))
    # Then it is noted
    assert [(one.target.name, one.command, one.data) for one in transport.asked] == [("host1", ("true",), b"x")]


def test_a_kept_connection_that_broke_is_made_anew(ssh_hosts: MakeHosts) -> None:
    # Given a connection that was kept after a command, and is one still after the next
    fleet = ssh_hosts(1, "openssh")
    files = fleet.hosts[0].files
    target = Target(files.name, files.address, files.port, files.user)
    transport = SSHTransport(fabric_config(fleet), str(fleet.known_hosts), 10.0, keep=True)
    way = Way(transport, target)
    peers = [way.execute(("sh", "-c", "echo $SSH_CONNECTION"))[1] for _ in range(2)]
    assert peers[0] == peers[1]
    # When the network breaks it
    fleet.hosts[0].cut()
    # Then the next command has a new one
    end, peer = way.execute(("sh", "-c", "echo $SSH_CONNECTION"))
    assert end.code == 0
    assert peer != peers[0]
    transport.close()
