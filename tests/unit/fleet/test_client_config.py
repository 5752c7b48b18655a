"""ssh_config: every host is reached as ssh would reach it."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

import pytest
from fabric import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.core.errors import SettingsError, UnreachableError
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.client_configs import ClientConfigs, config_files
from ops.fleet.transport.route import route_to
from tests.labs.parts import SSH, needs

ME = getpass.getuser()


def configs(tmp_path: Path, text: str, user: str = ME, port: int = 22, ssh: str | None = "ssh") -> ClientConfigs:
    file = tmp_path / "config"
    file.write_text(text)
    return ClientConfigs((str(file),), user, port, ssh=ssh)


def ways(configs: ClientConfigs, name: str) -> list[tuple[str, int, str]]:
    """Return the hosts that a connection goes through, and the target."""
    return [(one.host, one.port, one.user) for one in route_to(configs, name, None, None)]


PATTERNS = st.lists(
    st.sampled_from(["*", "web*", "web1", "!web1", "!web2", "web?", "db1", '"web1"', "10.0.0.*", "!*.eu"]),
    min_size=1,
    max_size=3,
).map(" ".join)
VALUES = {
    "HostName": ["10.0.0.1", "%h.example.com", "web9", "WEB1.example.com"],
    "Port": ["22", "2222"],
    "User": ["deploy", '"deploy"', "root"],
    "ProxyJump": ["none", "bastion", "me@bastion:2222,other", "%r@jump-%h"],
    "ProxyCommand": ["none", "nc %h %p"],
    "IdentityFile": ["~/.ssh/one", "/keys/%h-%r", '"/two keys/x"', "none"],
    "CertificateFile": ["/keys/one-cert.pub"],
    "HostKeyAlias": ["fleet", "FLEET"],
    "IdentitiesOnly": ["yes", "no"],
    "ForwardAgent": ["yes", "no", "/run/agent"],
    "ConnectTimeout": ["7", "none"],
    "UserKnownHostsFile": ["/hosts/a /hosts/b", "~/.ssh/%h"],
    "IdentityAgent": ["none", "/run/%u/agent"],
    "BatchMode": ["yes"],
}
SETTINGS = st.sampled_from(sorted(VALUES)).flatmap(
    lambda key: st.tuples(st.just(key), st.sampled_from([" ", "=", " = "]), st.sampled_from(VALUES[key])).map("".join)
)
NAMES = st.sampled_from(["web1", "web2", "Web2", "db1", "10.0.0.7", "10.0.0.8", "a.eu"])
BLOCKS = st.tuples(
    st.one_of(
        PATTERNS.map(lambda one: f"Host {one}"),
        PATTERNS.map(lambda one: "Match host " + ",".join(one.replace('"', "").split())),
        st.sampled_from(["Match all", "Match final host web*", "Match user deploy", "Match originalhost web1"]),
    ),
    st.lists(SETTINGS, max_size=4),
).map(lambda block: "\n  ".join((block[0], *block[1])))
ASKED = ("hostname", "port", "user", "proxyjump", "proxycommand", "identityfile", "certificatefile", "hostkeyalias")
MORE = ("identitiesonly", "forwardagent", "connecttimeout", "identityagent", "batchmode", "userknownhostsfile")


@needs(SSH)
def test_any_ssh_config_means_what_it_means_to_ssh(tmp_path: Path) -> None:
    # Given any blocks of hosts, patterns, and settings, in two files
    first, second = tmp_path / "first", tmp_path / "second"

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(SETTINGS, max_size=2),
        st.lists(BLOCKS, max_size=4),
        st.lists(BLOCKS, max_size=2),
        st.lists(NAMES, min_size=2, max_size=3),
    )
    def check(top: list[str], blocks: list[str], more: list[str], names: list[str]) -> None:
        first.write_text("\n".join([*top, *blocks]))
        second.write_text("\n".join(more))
        whole = tmp_path / "whole"
        whole.write_text(f"Include {first}\nInclude {second}\n")
        made = ClientConfigs((str(first), str(second)), ME, 22)
        for name in names:
            same(made, whole, name)

    def same(made: ClientConfigs, whole: Path, name: str) -> None:
        answer = subprocess.run(
            ["ssh", "-G", "-T", "-F", whole, name], capture_output=True, text=True, timeout=20, check=False
        )
        # When a host is looked up, be it after others
        try:
            found = made.ask(name)
        except UnreachableError:
            # Then it is refused where ssh refuses it
            assert answer.returncode != 0
            return
        # Then all that matters is as ssh has it
        assert answer.returncode == 0, answer.stderr
        expected: dict[str, list[str]] = {}
        for line in answer.stdout.splitlines():
            expected.setdefault(line.partition(" ")[0], []).append(line.partition(" ")[2])
        for key in (*ASKED, *MORE):
            value = found.options.get(key) or ()
            values = list(value) if isinstance(value, tuple) else [value]
            if key != "userknownhostsfile" or values:  # ssh's default is not ours: there is a setting for it
                assert values == expected.get(key, []), key

    check()


@needs(SSH)
@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Host web*\n  Port 2222\nHost *\n  SendEnv LANG\nInclude /nowhere/*.conf\n", 2),
        ("Host *\n  User %u\n", 8),
        ("Match host web1\n  Port 2222\n", 8),
        ("Host *\n  ProxyJump bastion\n", 8),
        ("Host *\n  HostName 10.0.0.1\n", 8),
        ('Host "web1"\n  Port 2222\n', 8),
        ("Include ~/.ssh/more\n", 8),
    ],
)
def test_ssh_is_asked_once_for_hosts_that_its_files_cannot_tell_apart(tmp_path: Path, text: str, asked: int) -> None:
    # Given files, and an ssh that writes down each time it is asked
    log, program = tmp_path / "log", tmp_path / "ssh"
    program.write_text(f'#!/bin/sh\necho asked >> {log}\nexec ssh "$@"\n')
    program.chmod(0o755)
    made = configs(tmp_path, text, ME, 22, ssh=str(program))
    names = [f"{kind}{number}.example.com" for kind in ("web", "db") for number in range(4)]
    # When many hosts are looked up
    found = [made.ask(name) for name in names]
    # Then it was asked for one of each kind, where there are kinds
    assert len(log.read_text().splitlines()) == asked
    if asked == 2:
        assert [(one.host, one.port) for one in found] == [(name, 2222 if name[0] == "w" else 22) for name in names]


@needs(SSH)
def test_fabrics_own_user_port_and_gateway_count_where_ssh_config_says_nothing(tmp_path: Path) -> None:
    # Given fabric.yaml's user, port and gateway, and an ssh_config that knows one host
    file = tmp_path / "config"
    file.write_text("Host web1\n  User alice\n  Port 2222\n  ProxyCommand none\n")
    made = ClientConfigs((str(file),), "deploy", 2022, "nc bastion %h %p")
    # Then ssh_config wins for that one, what the host itself has wins over both, and others have fabric.yaml's
    one, other, own = made.ask("web1"), made.ask("web2"), made.ask("web1", "bob", 22)
    assert (one.user, one.port, one.text("proxycommand")) == ("alice", 2222, "")
    assert (other.user, other.port, other.expand(other.text("proxycommand"))) == (
        "deploy",
        2022,
        "nc bastion web2 2022",
    )
    assert (own.user, own.port) == ("bob", 22)


@needs(SSH)
def test_files_of_keys_have_their_tokens_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given names with tokens, variables and a home folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KEYS", "/keys")
    text = "Host web1\n  HostName 10.0.0.1\n  User deploy\n  IdentityFile ~/%h-%r-%n\n  IdentityFile ${KEYS}/%%x\n"
    found = configs(tmp_path, text).ask("web1")
    # Then they are paths, and no key that nobody named is tried
    assert found.identity_files == (f"{tmp_path}/10.0.0.1-deploy-web1", "/keys/%x")
    assert found.default_files == ()
    assert f"{tmp_path}/.ssh/id_ed25519" in configs(tmp_path, "").ask("web1").default_files


@pytest.mark.parametrize(
    ("text", "found"), [("ssh-ed25519,rsa-sha2-512", ("ssh-ed25519", "rsa-sha2-512")), ("", ()), ("+ssh-rsa", ())]
)
def test_algorithms_are_those_that_are_listed(text: str, found: tuple[str, ...]) -> None:
    # Given a list of algorithms; one that changes ssh's own list is whole where ssh was asked, and unknown elsewhere
    config = ClientConfig("web1", "web1", 22, "deploy", {"hostkeyalgorithms": text})
    # Then they are found, and none where the choice is open
    assert config.algorithms("hostkeyalgorithms") == found


@needs(SSH)
def test_files_with_blanks_in_their_names_are_told_apart(tmp_path: Path) -> None:
    # Given a file whose name has a blank, beside one that is not there
    (tmp_path / "my hosts").touch()
    text = f'Host *\n  UserKnownHostsFile "{tmp_path}/my hosts" {tmp_path}/other\n'
    # Then both are found
    found = configs(tmp_path, text).ask("web1").files("userknownhostsfile")
    assert found == (f"{tmp_path}/my hosts", f"{tmp_path}/other")


JUMPS = [
    ("Host *\n  ProxyJump bastion\nHost bastion\n  ProxyJump none\n", None),
    ("Host bastion\n  ProxyJump none\nHost *\n  ProxyJump bastion\n", ["bastion", "web1"]),
    ("Host bastion\n  ProxyCommand none\nHost *\n  ProxyJump bastion\n", ["bastion", "web1"]),
    ("Host *,!bastion\n  ProxyJump bastion\n", ["web1"]),
    ("Host * !bastion\n  ProxyJump bastion\n", ["bastion", "web1"]),
    ("Host web1\n  ProxyJump a,b,c\n", ["a", "b", "c", "web1"]),
    ("Host web1\n  ProxyJump a,b\nHost a\n  ProxyJump z\nHost b\n  ProxyJump elsewhere\n", ["z", "a", "b", "web1"]),
    ("Host web1\n  ProxyJump b\nHost b\n  ProxyJump a\n", ["a", "b", "web1"]),
    ("Host web1\n  ProxyJump a\nHost a\n  ProxyJump b\nHost b\n  ProxyJump a\n", None),
    ("Host web1\n  ProxyJump web1\n", None),
    ("Host web1\n  ProxyJump other\nHost other\n  HostName web1\n", None),
    ("Host web1\n  ProxyCommand none\nHost *\n  ProxyJump bastion\n", ["web1"]),
    ("Host web1\n  ProxyJump none\nHost *\n  ProxyCommand nc %h %p\n", ["web1"]),
    ("Host web1\n  ProxyJump j-%h\n  HostName h1\n", ["j-h1", "h1"]),
    ("Host *\n  HostName x%h\n  ProxyJump y%h\n", None),
    ("Match host web* exec true\n  ProxyJump a\n", ["a", "web1"]),
]


@needs(SSH)
@pytest.mark.parametrize(("text", "hosts"), JUMPS)
def test_jump_hosts_are_those_that_ssh_takes_and_circles_are_refused(
    tmp_path: Path, text: str, hosts: list[str] | None
) -> None:
    # Given jump hosts
    made = configs(tmp_path, text)
    # Then a host is reached through them, in their order, and no circle is gone round
    if hosts is not None:
        assert [one[0] for one in ways(made, "web1")] == hosts
    else:
        with pytest.raises(UnreachableError, match="jump hosts"):
            ways(made, "web1")


@needs(SSH)
@pytest.mark.parametrize(
    ("jump", "place"),
    [
        ("bastion", ("bastion", 22, ME)),
        ("bastion:2222", ("bastion", 2222, ME)),
        ("me@bastion", ("bastion", 22, "me")),
        ("me@bastion:2222", ("bastion", 2222, "me")),
        ("me@corp@bastion", ("bastion", 22, "me@corp")),
        ("[::1]:2222", ("::1", 2222, ME)),
        ("me@[fe80::1]", ("fe80::1", 22, "me")),
        ("ssh://me@bastion:2222", ("bastion", 2222, "me")),
    ],
)
def test_a_jump_host_has_a_user_and_a_port_of_its_own(tmp_path: Path, jump: str, place: tuple[str, int, str]) -> None:
    # Given a jump host in each form
    # Then it is read as ssh reads it, and what is the target's stays the target's
    made = configs(tmp_path, f"Host web1\n  ProxyJump {jump}\n  User deploy\n  Port 2022\n")
    assert ways(made, "web1") == [place, ("web1", 2022, "deploy")]


@needs(SSH)
def test_what_ssh_refuses_is_refused_with_its_words(tmp_path: Path) -> None:
    # Given a file that ssh does not take
    file = tmp_path / "config"
    with pytest.raises(UnreachableError, match="Bad configuration option: nonsense") as caught:
        configs(tmp_path, "Nonsense yes\n").ask("web1")
    # Then the file is named, and how to see it
    assert str(file) in str(caught.value)
    assert "ssh -G web1" in str(caught.value)


@pytest.mark.parametrize(("text", "hosts"), [JUMPS[1], JUMPS[4], JUMPS[5], JUMPS[8], JUMPS[13]])
def test_without_ssh_jump_hosts_are_found_too(tmp_path: Path, text: str, hosts: list[str] | None) -> None:
    # Given a machine without OpenSSH's client
    made = configs(tmp_path, text, "deploy", 2022, ssh=None)
    # Then the common cases are the same
    if hosts is not None:
        assert [one[0] for one in ways(made, "web1")] == hosts
        assert ways(made, "web1")[-1][1:] == (2022, "deploy")
    else:
        with pytest.raises(UnreachableError, match="circle"):
            ways(made, "web1")


def test_what_is_set_but_not_done_is_known() -> None:
    # Given options that decide who is reached or let in, one of them off
    options = {"bindinterface": "eth0", "verifyhostkeydns": "yes", "hostbasedauthentication": "no"}
    # Then those that are on are named
    found = ClientConfig("web1", "web1", 22, ME, options).unsupported
    assert [one.partition(":")[0] for one in found] == ["bindinterface", "verifyhostkeydns"]


def test_fabric_says_which_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given Fabric's settings
    monkeypatch.setenv("HOME", str(tmp_path))
    named = tmp_path / "named"
    named.touch()
    # Then a named file is the only one, else the user's and the system's are read, or none
    assert config_files(Config(runtime_ssh_path=str(named))) == (str(named),)
    assert config_files(Config()) == (f"{tmp_path}/.ssh/config", "/etc/ssh/ssh_config")
    assert config_files(Config(overrides={"load_ssh_configs": False})) == ()
    made = Config(runtime_ssh_path=str(named))
    named.unlink()
    with pytest.raises(SettingsError, match="no such file"):
        config_files(made)
