"""Logging in as ssh does: keys of the agent and of files, questions to a human one at a time, the agent lent out."""

from __future__ import annotations

import getpass
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fabric import Config
from paramiko import PKey

from ops.core.deadline import Deadline
from ops.core.errors import SettingsError, UnreachableError
from ops.fleet.transport import Target, login
from ops.fleet.transport.prompts import Prompts
from ops.fleet.transport.ssh import SSHTransport
from ops.sandbox.keys import make_key
from tests.labs.parts import SSH, SSHD, needs
from tests.labs.ssh_beside import Beside, keygen
from tests.labs.ssh_servers import Manners, Server, serving
from tests.labs.terminals import human

CONNECT_SECONDS = 1.5


def transport_to(
    folder: Path, servers: list[Server], prompts: Prompts | None = None, ssh_config: str = "", **kwargs: Any
) -> SSHTransport:
    """Make the way to servers; `kwargs` are Fabric's `connect_kwargs`."""
    (folder / "known_hosts").write_text("".join(server.line for server in servers))
    (folder / "ssh_config").write_text(ssh_config)
    overrides = {"connect_kwargs": {"look_for_keys": False, **kwargs}}
    config = Config(runtime_ssh_path=str(folder / "ssh_config"), overrides=overrides)
    return SSHTransport(config, str(folder / "known_hosts"), CONNECT_SECONDS, prompts=prompts or Prompts(lambda: None))


def ask(transport: SSHTransport, server: Server, name: str = "host1", seconds: float = 10) -> str:
    """Ask a host; gives nothing where it answers, else what the error says."""
    output: list[bytes] = []
    try:
        transport.execute(server.target(name), ["agent"], b"", output.append, Deadline(seconds))
    except UnreachableError as error:
        return str(error)
    assert b"".join(output) == b"here"
    return ""


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[str]:
    """Start an agent with keys; gives its socket."""
    path = str(folder / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        assert Deadline(10).poll(Path(path).exists)
        environment = {**os.environ, "SSH_AUTH_SOCK": path}
        for key in keys:
            subprocess.run(["ssh-add", "-q", key], env=environment, check=True, capture_output=True, timeout=20)
        yield path
    finally:
        process.kill()
        process.wait(10)


def public(path: Path) -> bytes:
    """Return a key's public part in SSH's wire format."""
    return bytes(PKey.from_path(path).asbytes())


@needs(SSH)
def test_of_an_agents_keys_those_are_tried_that_ssh_would_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an agent with three keys, the third of which a host takes, and its public half in a file
    keys = [tmp_path / name for name in ("one", "two", "three")]
    for key in keys:
        make_key(key)
    third = public(keys[2])
    (tmp_path / "named.pub").write_text(keygen("-y", "-f", keys[2]))
    with agent(tmp_path, *keys) as path, serving(tmp_path, Manners(keys=[third])) as server:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        tried = server.manners.tried

        def try_with(ssh_config: str, **kwargs: Any) -> tuple[str, int]:
            before = len(tried)
            return ask(transport_to(tmp_path, [server], None, ssh_config, **kwargs), server), len(tried) - before

        # When ssh_config says nothing, all of them are tried
        assert try_with("") == ("", 3)
        # When it names the key, that one is first; with IdentitiesOnly, and by -i, no other is
        named = f"Host *\n  IdentityFile {tmp_path}/named\n"
        assert try_with(named) == ("", 1)
        assert try_with(f"{named}  IdentitiesOnly yes\n") == ("", 1)
        assert try_with("", key_filename=str(tmp_path / "named.pub")) == ("", 1)
        # When IdentitiesOnly names another key, the agent's are not tried
        error, count = try_with(f"Host *\n  IdentitiesOnly yes\n  IdentityFile {keys[0]}\n")
        assert count == 1
        assert "none of the keys" in error
        # When ssh_config names the agent, it is asked, and `none` asks none
        monkeypatch.delenv("SSH_AUTH_SOCK")
        assert try_with(f"Host *\n  IdentityAgent {path}\n") == ("", 3)
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        assert "no key to log in with" in try_with("Host *\n  IdentityAgent none\n")[0]
        assert "no key to log in with" in try_with("", allow_agent=False)[0]


@needs(SSH, SSHD)
@pytest.mark.parametrize("how", ["beside the key", "CertificateFile", "CertificateFile, the key in an agent"])
def test_a_users_certificate_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    # Given a host that lets in whom an authority has signed, and a signed key
    beside = Beside(tmp_path)
    beside.known_hosts.write_text(f"web1 {beside.key('host')}\n")
    beside.key("user"), beside.key("ca")
    user = getpass.getuser()
    keygen("-q", "-s", tmp_path / "ca", "-I", "me", "-n", user, tmp_path / "user.pub")
    server = beside.server("host", None, f"TrustedUserCAKeys {tmp_path}/ca.pub", "AuthorizedKeysFile none")
    file = server.rpartition(" ")[2]
    Path(file).write_text(Path(file).read_text().replace(f"AuthorizedKeysFile {tmp_path}/id.pub\n", ""))
    lines = f"  ProxyCommand {server}\n  IdentityFile {tmp_path}/user\n"
    with agent(tmp_path, tmp_path / "user") as path:
        if how != "beside the key":
            (tmp_path / "user-cert.pub").rename(tmp_path / "elsewhere.pub")
            lines += f"  CertificateFile {tmp_path}/elsewhere.pub\n"
        if "agent" in how:
            (tmp_path / "user").unlink()
            monkeypatch.setenv("SSH_AUTH_SOCK", path)
        beside.write(f"Host web1\n{lines}")
        # Then it lets us in, as it lets ssh in
        assert beside.ssh("web1") == ""
        assert beside.ours("web1", connect_kwargs={"allow_agent": "agent" in how}) == ""


@needs(SSH)
@pytest.mark.soak  # the next one shows that each is asked about once
def test_questions_are_asked_one_at_a_time_and_a_human_may_take_long(tmp_path: Path) -> None:
    # Given hosts that want a second factor, and a human and a second device slower than any deadline of a network
    make_key(tmp_path / "id")
    with human(lambda _: "123456", pause_seconds=1.7) as person, ExitStack() as stack:
        wants = {"after": "keyboard-interactive", "questions": ["Code:"], "answers": ["123456"], "pause_seconds": 1.6}
        servers = [stack.enter_context(serving(tmp_path, Manners(**wants))) for _ in range(2)]  # type: ignore[arg-type]
        transport = transport_to(
            tmp_path, servers, Prompts(person.terminal), key_filename=str(tmp_path / "id"), allow_agent=False
        )
        said: dict[int, str] = {}
        threads = [
            threading.Thread(target=lambda at=at: said.update({at: ask(transport, servers[at], f"host{at}", 3)}))
            for at in range(2)
        ]
        # When all are asked at once
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    # Then all let us in, each question named its host, none was shown before the other's answer, nor was an answer
    assert said == {0: "", 1: ""}
    assert sorted(one.split("@")[1].split(")")[0] for one in person.questions) == ["host0", "host1"]
    assert all(one.count("Code:") == 1 for one in person.questions)
    assert "123456" not in person.shown


@needs(SSH)
def test_a_log_in_that_waited_too_long_for_its_turn_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given hosts whose log-ins may not wait for other hosts' questions
    monkeypatch.setattr(login, "_LATE_SECONDS", 0.2)
    make_key(tmp_path / "id")
    with human(lambda _: "yes", pause_seconds=0.6) as person, ExitStack() as stack:
        wants = {"after": "keyboard-interactive", "questions": ["Sure:"], "answers": ["yes"]}
        servers = [stack.enter_context(serving(tmp_path, Manners(**wants))) for _ in range(2)]  # type: ignore[arg-type]
        transport = transport_to(
            tmp_path, servers, Prompts(person.terminal), key_filename=str(tmp_path / "id"), allow_agent=False
        )
        said: dict[int, str] = {}
        threads = [
            threading.Thread(target=lambda at=at: said.update({at: ask(transport, servers[at])})) for at in range(2)
        ]
        # When both are asked at once
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        # Then the second one connects anew, and each is asked about once
        assert said == {0: "", 1: ""}
        assert sorted(server.connections for server in servers) == [1, 2]
        assert len(person.questions) == 2


@needs(SSH)
def test_without_a_terminal_nobody_is_asked_and_the_error_says_so(tmp_path: Path) -> None:
    # Given a host that wants a second factor, a key with a passphrase, and no terminal
    make_key(tmp_path / "id")
    wants = Manners(after="keyboard-interactive", questions=["\x1b[2JCode: "], answers=["1"])
    with serving(tmp_path, wants) as server, serving(tmp_path, Manners()) as other:
        transport = transport_to(tmp_path, [server, other], key_filename=str(tmp_path / "id"), allow_agent=False)
        # When it is asked
        error = ask(transport, server)
        # Then the question is named, in plain characters
        assert "Code:" in error
        assert "no terminal to ask at" in error
        assert "\x1b" not in error
        # And a passphrase is not asked for either; BatchMode is the same as no terminal
        keygen("-q", "-p", "-N", "secret", "-a", "1", "-f", tmp_path / "id")
        transport = transport_to(tmp_path, [other], key_filename=str(tmp_path / "id"), allow_agent=False)
        assert "needs a passphrase" in ask(transport, other)
        with human(lambda _: "secret") as person:
            transport = transport_to(
                tmp_path,
                [other],
                Prompts(person.terminal),
                "Host *\n  BatchMode yes\n",
                key_filename=str(tmp_path / "id"),
                allow_agent=False,
            )
            assert "needs a passphrase" in ask(transport, other)
        assert person.questions == []


@needs(SSH)
def test_a_passphrase_is_asked_for_once_for_all_hosts(tmp_path: Path) -> None:
    # Given a key with a passphrase, a human who mistypes it once, and hosts that take the key
    make_key(tmp_path / "id")
    keygen("-q", "-p", "-N", "secret", "-a", "1", "-f", tmp_path / "id")
    typed = iter(["sercet", "secret"])
    with human(lambda _: next(typed)) as person, ExitStack() as stack:
        servers = [stack.enter_context(serving(tmp_path, Manners())) for _ in range(3)]
        prompts = Prompts(person.terminal)

        def way() -> SSHTransport:
            return transport_to(tmp_path, servers, prompts, key_filename=str(tmp_path / "id"), allow_agent=False)

        transport = way()
        said: dict[int, str] = {}
        threads = [
            threading.Thread(target=lambda at=at: said.update({at: ask(transport, servers[at])})) for at in range(3)
        ]
        # When all are asked at once
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        # Then all let us in, by another way of the same command, too
        assert said == {0: "", 1: "", 2: ""}
        assert ask(way(), servers[0]) == ""
    # And one was asked, twice
    assert len(person.questions) == 2
    assert "secret" not in person.shown


def test_a_password_answers_a_question_too(tmp_path: Path) -> None:
    # Given a host that asks for the password as a question, as many do
    make_key(tmp_path / "id")
    wants = Manners(keys=[], after="keyboard-interactive", questions=["Password:"], answers=["secret"])
    with serving(tmp_path, wants) as server:
        # When one was given by --prompt-for-login-password
        transport = transport_to(
            tmp_path, [server], key_filename=str(tmp_path / "id"), allow_agent=False, password="secret"
        )
        # Then it is the answer; a wrong one is said to be refused
        assert ask(transport, server) == ""
        transport = transport_to(
            tmp_path, [server], key_filename=str(tmp_path / "id"), allow_agent=False, password="wrong"
        )
        assert "none of the keys" in ask(transport, server)


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    # Given a key file that does not exist
    with serving(tmp_path, Manners()) as server:
        transport = transport_to(tmp_path, [server], key_filename=str(tmp_path / "none"), allow_agent=False)
        # Then the error names it
        assert f"{tmp_path}/none cannot be read: No such file" in ask(transport, server)


def test_connect_kwargs_that_cannot_be_done_are_refused(tmp_path: Path) -> None:
    # Given a setting of paramiko's that is decided here
    with pytest.raises(SettingsError, match="'sock' is not possible"):
        transport_to(tmp_path, [], sock=1)


@needs(SSH, SSHD)
@pytest.mark.parametrize("how", ["ssh_config", "fabric.yaml", "a path"])
def test_the_agent_is_lent_to_what_runs_on_a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    # Given an agent, and settings that lend it
    beside = Beside(tmp_path)
    beside.known_hosts.write_text(f"web1 {beside.key('host')}\n")
    with agent(tmp_path, tmp_path / "id") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere" if how == "a path" else path)
        lines = {"ssh_config": "ForwardAgent yes", "fabric.yaml": "", "a path": f"ForwardAgent {path}"}[how]
        beside.write(f"Host web1\n  ProxyCommand {beside.server('host')}\n  {lines}\n")
        transport = beside.transport(forward_agent=how == "fabric.yaml")
        output: list[bytes] = []
        # When a command there asks it
        end = transport.execute(Target("web1", "web1"), ["ssh-add", "-l"], b"", output.append, Deadline(20))
        # Then it has the key
        assert end.code == 0, end
        assert keygen("-l", "-f", tmp_path / "id").split()[1].encode() in b"".join(output)
        # And without that setting there is none
        if how == "ssh_config":
            beside.write(f"Host web1\n  ProxyCommand {beside.server('host')}\n")
            end = beside.transport().execute(Target("web1", "web1"), ["ssh-add", "-l"], b"", print, Deadline(20))
            assert end.code == 2


def test_what_ssh_config_wants_and_is_not_done_is_said_once(tmp_path: Path) -> None:
    # Given an option that decides who is reached, for two hosts
    make_key(tmp_path / "id")
    with serving(tmp_path, Manners()) as server:
        transport = transport_to(
            tmp_path, [server], None, "Host *\n  VerifyHostKeyDNS yes\n", key_filename=str(tmp_path / "id")
        )
        said: list[str] = []
        transport._say = said.append
        # When both are asked, twice
        assert [ask(transport, server, name) for name in ("host1", "host2", "host1")] == [""] * 3
    # Then one line says it
    assert len(said) == 1
    assert "verifyhostkeydns" in said[0]


def test_ways_that_ssh_config_does_not_want_are_not_tried(tmp_path: Path) -> None:
    # Given a host that takes keys and passwords
    make_key(tmp_path / "id")
    wants = Manners(keys=[], after="keyboard-interactive", questions=["Password:"], answers=["secret"])
    with serving(tmp_path, wants) as server:
        for lines in ("PreferredAuthentications publickey", "KbdInteractiveAuthentication no"):
            config = f"Host *\n  {lines}\n"
            kwargs = {"key_filename": str(tmp_path / "id"), "allow_agent": False, "password": "secret"}
            transport = transport_to(tmp_path, [server], None, config, **kwargs)
            # Then what ssh_config leaves out is not tried
            assert "none of the keys" in ask(transport, server)
    assert wants.begun == 0


@needs(SSH, SSHD)
def test_a_server_that_has_seen_enough_keys_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an agent with more keys than a server lets be tried, the right one last
    beside = Beside(tmp_path)
    beside.known_hosts.write_text(f"web1 {beside.key('host')}\n")
    keys = [tmp_path / f"key{number}" for number in range(3)]
    for key in keys:
        make_key(key)
    config = f"Host web1\n  ProxyCommand {beside.server('host', None, 'MaxAuthTries 2')}\n  IdentityFile /none\n"
    with agent(tmp_path, *keys, tmp_path / "id") as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        beside.config.write_text(f"{config}  UserKnownHostsFile {beside.known_hosts}\n")
        # Then the error says how many were tried
        refusal = beside.ours("web1", connect_kwargs={})
        assert "in with none of the keys" in refusal
        assert "ended the log-in after 2 of them, see its MaxAuthTries" in refusal
        # And naming the key helps
        config += f"  IdentityFile {tmp_path}/id\n"
        beside.config.write_text(f"{config}  UserKnownHostsFile {beside.known_hosts}\n")
        assert beside.ours("web1", connect_kwargs={}) == ""


def test_what_a_server_wants_beside_a_key_is_named(tmp_path: Path) -> None:
    # Given a host that wants a password after the key, and none given
    make_key(tmp_path / "id")
    with serving(tmp_path, Manners(after="password")) as server:
        transport = transport_to(tmp_path, [server], key_filename=str(tmp_path / "id"), allow_agent=False)
        # Then the error says so
        assert "it took a key, and wants more: publickey, password" in ask(transport, server)
