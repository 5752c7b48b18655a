"""Hosts that are down, hang, refuse: each gets its own words, and none hides the others."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fabric import Config
from paramiko import Ed25519Key

from ops.core.deadline import Deadline
from ops.core.protocol import PROTOCOL, Event, Verb
from ops.core.states import State
from ops.fleet.report import Kind, Outcome, Report
from ops.fleet.rollout import carry_out
from ops.sandbox.host import LocalHost
from tests.labs.parts import SSH, needs
from tests.labs.ssh_fleet import MakeFleet, SSHFleet


class Quiet:
    """Takes notes."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def event(self, host: str, event: Event) -> None:
        self.events.append((host, event))

    def finished(self, outcome: Outcome) -> None:
        pass

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        pass


def status(fleet: SSHFleet, **more: object) -> Report:
    return carry_out(fleet.plan(Verb.STATUS, **more), fleet.transport(), Quiet())


def check_second_host_alone_answers(report: Report, kind: Kind, *words: str) -> str:
    """Check that the first host failed in these words and the second one answered; gives the text."""
    first, second = report.outcomes
    assert first.kind is kind
    for word in words:
        assert word in first.trouble, first.trouble
    assert first.host in first.trouble
    assert [one.state for one in first.processes] == [State.UNKNOWN]
    assert second.kind is Kind.ANSWERED
    assert [one.state for one in second.processes] == [State.STOPPED]
    assert report.exit_code == 4
    return first.trouble


def test_a_host_that_is_down(fleet: MakeFleet) -> None:
    # Given two hosts, the first one down
    made = fleet(2)
    made.hosts[0].stop()
    # When the fleet is asked
    report = status(made)
    # Then it is told apart, with what to look at
    check_second_host_alone_answers(report, Kind.UNREACHABLE, "refuses connections", str(made.hosts[0].files.port))


def test_a_host_that_takes_connections_and_never_answers(fleet: MakeFleet) -> None:
    # Given two hosts, the first one frozen
    made = fleet(2, connect_timeout_seconds=4.0)
    made.hosts[0].freeze()
    deadline = Deadline(40)
    try:
        # When the fleet is asked
        report = status(made)
    finally:
        made.hosts[0].thaw()
    # Then its deadline ends the wait
    assert not deadline.expired
    check_second_host_alone_answers(report, Kind.UNREACHABLE, "no answer within 4 s")


def test_an_address_without_anybody(shared_fleet: MakeFleet) -> None:
    # Given a host whose name does not exist
    made = shared_fleet(2)
    hosts = [{"host": "host1", "address": "none.invalid"}, _entry(made.hosts[1])]
    # When the fleet is asked
    report = status(made, stages={"test": {"hosts": hosts}})
    # Then that is what it says
    check_second_host_alone_answers(report, Kind.UNREACHABLE, "no host has that name", "none.invalid")


def test_a_host_that_hangs_after_the_log_in(shared_fleet: MakeFleet, tmp_path: Path) -> None:
    # Given an agent that takes the request and is silent from then on
    made = shared_fleet(1)
    agent = tmp_path / "agent"
    agent.write_text("#!/bin/sh\nexec sleep 60\n")
    agent.chmod(0o755)
    plan = made.plan(Verb.STATUS, agent_python=str(agent))
    action = plan.actions[0]
    object.__setattr__(action, "deadline_seconds", 1.0)
    deadline = Deadline(40)
    # When it is asked
    report = carry_out(plan, made.transport(), Quiet())
    # Then the request's deadline ends the wait
    assert not deadline.expired
    assert "no answer within 1 s" in report.outcomes[0].trouble
    assert report.exit_code == 4


def test_a_host_that_refuses_the_key(fleet: MakeFleet) -> None:
    # Given two hosts, the first of which lets nobody in
    made = fleet(2)
    made.hosts[0].refuse_key()
    # When the fleet is asked
    report = status(made)
    # Then it says who was not let in, and how keys are named
    check_second_host_alone_answers(report, Kind.UNREACHABLE, "in with none of the keys", "-i", "ssh-agent")


def test_no_key_at_all(shared_fleet: MakeFleet) -> None:
    # Given no key to log in with
    made = shared_fleet(1)
    kwargs = {"look_for_keys": False, "allow_agent": False}
    made.config = Config(overrides={"connect_kwargs": kwargs, "load_ssh_configs": False})
    # When the fleet is asked
    report = status(made)
    # Then that is what it says
    assert "no key to log in with" in report.outcomes[0].trouble
    assert report.exit_code == 4


@needs(SSH)
def test_a_key_with_a_passphrase(shared_fleet: MakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a key that needs a passphrase, and how often it is unlocked
    made = shared_fleet(2)
    key = tmp_path / "key"
    key.write_bytes(made.local.key.read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-a", "1", "-f", str(key)], check=True, timeout=20)
    unlocked: list[object] = []
    unlock = Ed25519Key.from_private_key
    monkeypatch.setattr(
        Ed25519Key, "from_private_key", lambda *rest, **named: unlocked.append(1) or unlock(*rest, **named)
    )

    def ask(**more: str) -> Report:
        kwargs = {"key_filename": [str(key)], "look_for_keys": False, "allow_agent": False, **more}
        made.config = Config(overrides={"connect_kwargs": kwargs, "load_ssh_configs": False})
        return status(made)

    # When it is given, as --prompt-for-passphrase does
    # Then it opens all hosts and is used once
    assert ask(passphrase="secret").exit_code == 3
    assert len(unlocked) == 1
    # And without it, or with a wrong one, the text says what is the matter
    assert "--prompt-for-passphrase" in ask().outcomes[0].trouble
    wrong = ask(passphrase="wrong").outcomes[0]
    assert wrong.kind is Kind.UNREACHABLE
    assert "passphrase" in wrong.trouble, wrong.trouble


def test_an_unknown_host_key_is_refused_with_the_command_that_adds_it(fleet: MakeFleet) -> None:
    # Given two hosts, the first of which known_hosts does not have
    made = fleet(2)
    files = made.hosts[0].files
    lines = made.local.known_hosts.read_text().splitlines(keepends=True)
    made.local.known_hosts.write_text(lines[1])
    # When the fleet is asked
    report = status(made)
    # Then nothing is trusted, and the command that adds the key is named
    add = f"ssh-keyscan -p {files.port} {files.address} >> {made.local.known_hosts}"
    text = check_second_host_alone_answers(report, Kind.UNREACHABLE, "is not in", "SHA256:", add)
    assert "changed" not in text
    assert made.local.known_hosts.read_text() == lines[1]


def test_a_changed_host_key_is_told_apart_from_an_unknown_one(fleet: MakeFleet) -> None:
    # Given two hosts, the first with another key than before
    made = fleet(2)
    made.hosts[0].change_host_key()
    files = made.hosts[0].files
    # When the fleet is asked
    report = status(made)
    # Then both fingerprints are shown, and how the old one is removed
    remove = f"ssh-keygen -R '[{files.address}]:{files.port}' -f {made.local.known_hosts}"
    text = check_second_host_alone_answers(report, Kind.UNREACHABLE, "host key has changed", remove)
    assert text.count("SHA256:") == 2


def test_a_host_without_the_tool(shared_fleet: MakeFleet) -> None:
    # Given a host where nothing is set up
    made = shared_fleet(1)
    # When it is asked
    report = status(made, agent_python="shared/karafka-ops/bin/python")
    # Then the task that sets it up is named
    assert report.outcomes[0].kind is Kind.FAILED
    assert "not set up here" in report.outcomes[0].trouble
    assert "fab karafka.setup" in report.outcomes[0].trouble
    assert report.exit_code == 4


def test_a_python_without_the_tool(shared_fleet: MakeFleet, tmp_path: Path) -> None:
    # Given a host whose interpreter lacks the package
    made = shared_fleet(1)
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -S -I "$@"\n')
    bare.chmod(0o755)
    # When it is asked
    report = status(made, agent_python=str(bare))
    # Then the task that sets it up is named
    assert "No module named" in report.outcomes[0].trouble
    assert "fab karafka.setup" in report.outcomes[0].trouble


@pytest.mark.parametrize("noise", ["Welcome to host1!", "\x1b[31mred", '{"not": "ours"}', "x" * 5000])
def test_what_start_up_files_print_before_the_answer_does_not_matter(
    shared_fleet: MakeFleet, tmp_path: Path, noise: str
) -> None:
    # Given a host that greets everybody
    made = shared_fleet(1)
    (tmp_path / "noise").write_text(noise)
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\ncat {tmp_path}/noise; echo\nexec {sys.executable} "$@"\n')
    agent.chmod(0o755)
    # When it is asked
    report = status(made, agent_python=str(agent))
    # Then its agent's answer is found
    assert [one.state for one in report.outcomes[0].processes] == [State.STOPPED]
    assert report.exit_code == 3


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("echo surprise", "'surprise'"),
        ("echo surprise >&2; exit 5", "exit code 5"),
        ("yes", "endless output"),
        ("cat /dev/zero", "endless output"),
        ('echo \'{"protocol": 99, "kind": "response", "processes": [], "error": ""}\'', "protocol 99"),
        ('echo \'{"protocol": 1, "kind": "resp\'', "no JSON"),
        (f'echo \'{{"protocol": {PROTOCOL}, "kind": "response"}}\'', "does not fit"),
    ],
)
def test_something_else_than_an_agent_answers(shared_fleet: MakeFleet, tmp_path: Path, script: str, word: str) -> None:
    # Given a host where something else runs
    made = shared_fleet(1)
    agent = tmp_path / "agent"
    agent.write_text(f"#!/bin/sh\n{script}\n")
    agent.chmod(0o755)
    # When it is asked
    report = status(made, agent_python=str(agent))
    # Then it ends, shows what was said, and names the setup
    assert report.outcomes[0].kind is Kind.FAILED
    assert word in report.outcomes[0].trouble
    assert report.exit_code == 4


def test_a_connection_that_breaks_in_the_middle(fleet: MakeFleet, tmp_path: Path) -> None:
    # Given an agent at work
    made = fleet(1)
    agent = tmp_path / "agent"
    agent.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 30\n")
    agent.chmod(0o755)
    reports: list[Report] = []
    thread = threading.Thread(target=lambda: reports.append(status(made, agent_python=str(agent))))
    thread.start()
    assert Deadline(10).poll((tmp_path / "begun").exists)
    # When the network breaks
    made.hosts[0].stop()
    thread.join(10)
    # Then that is an outcome, at once
    assert reports[0].exit_code == 4
    assert "connection broke" in reports[0].outcomes[0].trouble


@contextmanager
def silent_server() -> Iterator[int]:
    """Listen and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_where_nobody_speaks_ssh(shared_fleet: MakeFleet) -> None:
    # Given a port that accepts and is silent
    made = shared_fleet(2, connect_timeout_seconds=4.0)
    with silent_server() as port:
        hosts = [{"host": "host1", "address": "127.0.0.1", "port": port}, _entry(made.hosts[1])]
        # When the fleet is asked
        report = status(made, stages={"test": {"hosts": hosts}})
    # Then its deadline ends the wait
    check_second_host_alone_answers(report, Kind.UNREACHABLE, "no answer within 4 s")


def jump_config(made: SSHFleet, jump: str) -> Config:
    first, second = (host.files for host in made.hosts)
    text = f"Host jump\n HostName {first.address}\n Port {first.port}\n User {first.user}\n"
    text += f"Host {second.address}\n ProxyJump {jump}\n"
    file = made.local.directory / "ssh_config"
    file.write_text(text)
    return Config(runtime_ssh_path=str(file), overrides={"connect_kwargs": made.kwargs})


def test_a_host_behind_another_one(shared_fleet: MakeFleet) -> None:
    # Given a host that ssh_config reaches through a jump host
    made = shared_fleet(2)
    made.config = jump_config(made, "jump")
    # When it is asked
    report = status(made, stages={"test": {"hosts": [_entry(made.hosts[1])]}})
    # Then it answers
    assert [outcome.kind for outcome in report.outcomes] == [Kind.ANSWERED], report.outcomes[0].trouble


def test_a_jump_host_with_an_unknown_key_is_refused_too(fleet: MakeFleet) -> None:
    # Given a jump host that known_hosts does not have
    made = fleet(2)
    made.config = jump_config(made, "jump")
    lines = made.local.known_hosts.read_text().splitlines(keepends=True)
    made.local.known_hosts.write_text(lines[1])
    # When the host behind it is asked
    report = status(made, stages={"test": {"hosts": [_entry(made.hosts[1])]}})
    # Then the jump host's address is the one in the error
    assert "is not in" in report.outcomes[0].trouble
    assert f"ssh-keyscan -p {made.hosts[0].files.port} {made.hosts[0].files.address}" in report.outcomes[0].trouble


def test_a_host_behind_another_one_that_is_down(fleet: MakeFleet) -> None:
    # Given a jump host that works, and nobody behind it
    made = fleet(2)
    made.config = jump_config(made, "jump")
    made.hosts[1].stop()
    # When the host behind it is asked
    report = status(made, stages={"test": {"hosts": [_entry(made.hosts[1])]}})
    # Then the jump host is named as the one that could not connect
    assert "the jump host jump could not connect to it" in report.outcomes[0].trouble
    assert report.exit_code == 4


def test_connections_leave_no_thread_behind(fleet: MakeFleet) -> None:
    # Given hosts that answer, refuse, and are unknown
    made = fleet(3)
    made.hosts[0].refuse_key()
    made.hosts[1].change_host_key()
    before = threading.active_count()
    # When the fleet was asked
    status(made)
    # Then every connection's thread ends at once
    assert Deadline(2).poll(lambda: threading.active_count() == before)


def test_asking_hosts_leaves_fabrics_shared_configuration_as_it_is(shared_fleet: MakeFleet) -> None:
    # Given a configuration that all connections share
    made = shared_fleet(2)
    before = dict(made.config._modifications)
    # When the fleet is asked
    report = status(made)
    # Then no connection has written into it: another thread would find it half merged
    assert report.exit_code == 3
    assert made.config._modifications == before


def _entry(host: LocalHost) -> dict[str, object]:
    files = host.files
    place = {"address": files.address, "port": files.port, "user": files.user}
    return {"host": host.name, **place, "deploy_to": str(files.deploy_to)}
