"""Host keys: what OpenSSH's client trusts is trusted, what it refuses is refused, with words that say why."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.labs.parts import SSH, SSHD, needs
from tests.labs.ssh_beside import Beside

pytestmark = needs(SSH, SSHD)


def some(cases: Mapping[str, object], *quick: str) -> list[object]:
    """Give cases, of which a quick run takes a few: the rules themselves are `tests/unit/fleet/test_known_hosts.py`."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.soak) for name in cases]


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Beside:
    return Beside(tmp_path_factory.mktemp("beside"))


CASES = {
    # what known_hosts has for web1, with the names of keys in braces; ssh_config's lines; words of a refusal
    "its key": ("web1 {host}", "", ()),
    "no key": ("", "", ("is not in", "ssh-keyscan web1 >>")),
    "another key of its kind": ("web1 {other}", "", ("has changed",)),
    "two keys of one kind, the first one another": ("web1 {other}\nweb1 {host}", "", ()),
    "its key revoked": ("web1 {host}\n@revoked web1 {host}", "", ("is revoked",)),
    "its key revoked for all": ("@revoked * {host}\nweb1 {host}", "", ("is revoked",)),
    "another host's key revoked": ("web1 {host}\n@revoked web2 {host}", "", ()),
    "its key as an authority": ("@cert-authority web1 {host}", "", ("no host certificate",)),
    "a pattern": ("*,!web2 {host}", "", ()),
    "a pattern that leaves it out": ("*,!web1 {host}", "", ("is not in",)),
    "a line that ends in CR LF": ("web1 {host}\r", "", ()),
    "lines that are broken before it": ("web1\nweb1 ssh-ed25519\n@odd web1 {other}\n  \tweb1 \t {host}", "", ()),
    "an alias": ("fleet {host}", "HostKeyAlias fleet", ()),
    "an alias, and its own name": ("web1 {host}", "HostKeyAlias fleet", ("is not in",)),
    "an alias and a port": ("fleet {host}", "HostKeyAlias fleet\n  Port 2222", ()),
    "its name and port": ("[web1]:2222 {host}", "Port 2222", ()),
    "its bare name for another port": ("web1 {host}", "Port 2222", ()),
    "its bare name, and another key for the port": ("web1 {host}\n[web1]:2222 {other}", "Port 2222", ("has changed",)),
    "another key for its bare name": ("web1 {other}", "Port 2222", ("is not in",)),
    "a name and port that it has not": ("[web1]:2222 {host}", "", ("is not in",)),
    "a key of another kind": ("web1 {rsa}", "", ("is not in",)),
    "HostName": ("web1.example.com {host}", "HostName web1.example.com", ()),
    "the name it was asked by": ("web1 {host}", "HostName web1.example.com", ("is not in",)),
    "its kind left out": ("web1 {host}", "HostKeyAlgorithms -ssh-ed25519", ("no host key of a kind",)),
    "certificates alone, which it has not": ("web1 {host}", "HostKeyAlgorithms *-cert-*", ("no host key of a kind",)),
    "another kind first": ("web1 {host}", "HostKeyAlgorithms ^rsa-sha2-512", ()),
    "revoked by a list": ("web1 {host}", "RevokedHostKeys {revoked}", ("is revoked",)),
}


@pytest.mark.parametrize("name", some(CASES, "its key", "two keys of one kind, the first one another"))
def test_a_host_key_is_trusted_where_ssh_trusts_it(beside: Beside, name: str) -> None:
    # Given known_hosts and ssh_config, and a host with one key
    known, lines, words = CASES[name]
    keys = {"host": beside.key("host"), "other": beside.key("other"), "rsa": beside.key("rsa", "rsa")}
    revoked = beside.folder / "revoked"
    revoked.write_text(f"# keys\n{keys['host']} lost\n")
    beside.known_hosts.write_bytes(f"{known.format(**keys)}\n".encode())
    beside.system_hosts.write_text("")
    server = beside.server("host")
    beside.write(f"Host web1\n  ProxyCommand {server}\n  {lines.format(revoked=revoked)}\n")
    # When it is asked
    refusal = beside.ours("web1")
    # Then it is trusted where ssh trusts it, else the words say why
    assert bool(refusal) == bool(beside.ssh("web1")) == bool(words), refusal
    for word in words:
        assert word in refusal


@pytest.mark.soak
def test_of_several_files_each_counts(beside: Beside) -> None:
    # Given a host that the system's file alone knows, and another key in the user's
    beside.write(f"Host web1\n  ProxyCommand {beside.server('host')}\n")
    beside.known_hosts.write_text("")
    beside.system_hosts.write_text(f"web1 {beside.key('host')}\n")
    # Then it is trusted
    assert beside.ours("web1") == beside.ssh("web1") == ""
    # And when either file revokes it, it is not
    beside.known_hosts.write_text(f"@revoked web1 {beside.key('host')}\n")
    assert "is revoked" in beside.ours("web1")
    assert beside.ssh("web1")


CERTIFICATES = {
    # ssh-keygen's options; known_hosts; words of a refusal
    "for its name": (("-h", "-n", "web1"), "@cert-authority web* {ca}", ()),
    "for several names": (("-h", "-n", "web2,web1"), "@cert-authority * {ca}", ()),
    "without names": (("-h",), "@cert-authority * {ca}", ()),
    "for another name": (("-h", "-n", "web2"), "@cert-authority * {ca}", ("is for web2, not for web1",)),
    "for a pattern, which is none": (("-h", "-n", "web*"), "@cert-authority * {ca}", ("not for web1",)),
    "expired": (("-h", "-n", "web1", "-V", "-2h:-1h"), "@cert-authority * {ca}", ("has expired",)),
    "of the future": (("-h", "-n", "web1", "-V", "+1h:+2h"), "@cert-authority * {ca}", ("is not valid before",)),
    "of an authority for other hosts": (("-h", "-n", "web1"), "@cert-authority db* {ca}", ("is not in",)),
    "of an unknown authority": (("-h", "-n", "web1"), "@cert-authority * {other}", ("authority",)),
    "of a revoked authority": (
        ("-h", "-n", "web1"),
        "@revoked * {ca}\n@cert-authority * {ca}",
        ("is revoked",),
    ),
    "its key revoked": (("-h", "-n", "web1"), "@revoked * {host}\n@cert-authority * {ca}", ("is revoked",)),
    "its plain key known": (("-h", "-n", "web1"), "web1 {host}", ()),
    "expired, its plain key known": (("-h", "-V", "-2h:-1h"), "@cert-authority * {ca}\nweb1 {host}", ()),
    "and another plain key known": (("-h", "-n", "web1"), "@cert-authority * {ca}\nweb1 {other}", ()),
}


@pytest.mark.parametrize("name", some(CERTIFICATES, "for its name", "expired"))
def test_a_host_certificate_is_trusted_where_ssh_trusts_it(beside: Beside, name: str) -> None:
    # Given a host with a certificate
    options, known, words = CERTIFICATES[name]
    keys = {"host": beside.key("host"), "other": beside.key("other"), "ca": beside.key("ca")}
    certificate = beside.sign("host", "ca", *options)
    beside.known_hosts.write_text(f"{known.format(**keys)}\n")
    beside.system_hosts.write_text("")
    beside.write(f"Host web1\n  ProxyCommand {beside.server('host', certificate)}\n")
    # When it is asked
    refusal = beside.ours("web1")
    # Then it is trusted where ssh trusts it; a refusal never tells to scan for a key
    assert bool(refusal) == bool(beside.ssh("web1")) == bool(words), refusal
    for word in words:
        assert word in refusal
    assert "ssh-keyscan" not in refusal


@pytest.mark.soak
@pytest.mark.parametrize(
    ("host", "authority", "options", "trusted"),
    [
        ("rsa", "ca", (), True),
        ("ecdsa", "ca", (), True),
        ("host", "rsa-ca", (), True),
        ("host", "rsa-ca", ("-t", "rsa-sha2-256"), True),
        ("host", "rsa-ca", ("-t", "ssh-rsa"), False),  # SHA-1
        ("rsa", "ecdsa-ca", (), True),
    ],
)
def test_certificates_of_each_kind_of_key(
    beside: Beside, host: str, authority: str, options: tuple[str, ...], trusted: bool
) -> None:
    # Given a host and an authority with keys of some kind
    for name in (host, authority):
        beside.key(name, next((kind for kind in ("rsa", "ecdsa") if name.startswith(kind)), "ed25519"))
    certificate = beside.sign(host, authority, "-h", "-n", "web1", *options)
    beside.known_hosts.write_text(f"@cert-authority web1 {beside.key(authority)}\n")
    beside.system_hosts.write_text("")
    beside.write(f"Host web1\n  ProxyCommand {beside.server(host, certificate)}\n")
    # Then it is trusted where ssh trusts it
    refusal = beside.ours("web1")
    assert (refusal == "") == (beside.ssh("web1") == "") == trusted, refusal


@pytest.mark.soak
@pytest.mark.parametrize(
    ("allowed", "known", "words"),
    [
        ("rsa-sha2-512", "", ()),
        ("-ssh-ed25519", "", ()),
        ("ssh-ed25519", "", ("is signed by rsa-sha2-512", "CASignatureAlgorithms")),
        ("-rsa-sha2-512", "", ("is signed by rsa-sha2-512", "CASignatureAlgorithms")),
        ("-rsa-sha2-512", "web1 {host}", ()),
    ],
)
def test_an_authority_signs_by_what_ssh_config_allows(
    beside: Beside, allowed: str, known: str, words: tuple[str, ...]
) -> None:
    # Given a certificate that an RSA key has signed, and which algorithms may sign
    beside.key("rsa-ca", "rsa")
    certificate = beside.sign("host", "rsa-ca", "-h", "-n", "web1")
    plain = known.format(host=beside.key("host"))
    beside.known_hosts.write_text(f"@cert-authority web1 {beside.key('rsa-ca')}\n{plain}\n")
    beside.system_hosts.write_text("")
    server = beside.server("host", certificate)
    beside.write(f"Host web1\n  ProxyCommand {server}\n  CASignatureAlgorithms {allowed}\n")
    # Then it is trusted where ssh trusts it, else the words say why
    refusal = beside.ours("web1")
    assert bool(refusal) == bool(beside.ssh("web1")) == bool(words), refusal
    for word in words:
        assert word in refusal


@pytest.mark.soak
@pytest.mark.parametrize(
    ("principal", "lines", "known"),
    [
        ("web1", "Port 2222", "[web1]:2222"),
        ("web1", "Port 2222", "web1"),
        ("[web1]:2222", "Port 2222", "*"),
        ("fleet", "HostKeyAlias fleet", "fleet"),
        ("web1", "HostKeyAlias fleet", "*"),
        ("web1.example.com", "HostName WEB1.example.com", "*.example.com"),
    ],
)
def test_a_certificate_is_for_the_name_that_ssh_looks_for(
    beside: Beside, principal: str, lines: str, known: str
) -> None:
    # Given a certificate, and a host that is reached in some way
    certificate = beside.sign("host", "ca", "-h", "-n", principal)
    beside.known_hosts.write_text(f"@cert-authority {known} {beside.key('ca')}\n")
    beside.system_hosts.write_text("")
    beside.write(f"Host web1\n  ProxyCommand {beside.server('host', certificate)}\n  {lines}\n")
    # Then it is trusted where ssh trusts it
    refusal = beside.ours("web1")
    assert bool(refusal) == bool(beside.ssh("web1")), refusal


def test_a_host_that_shows_no_certificate_is_told_to_get_one(beside: Beside) -> None:
    # Given a host without a certificate, whose network's hosts have an authority
    beside.known_hosts.write_text(f"@cert-authority * {beside.key('ca')}\n")
    beside.system_hosts.write_text("")
    beside.write(f"Host web1\n  ProxyCommand {beside.server('host')}\n")
    # When it is asked
    refusal = beside.ours("web1")
    # Then the words are about certificates, and not about scanning for its key
    assert "no host certificate" in refusal
    assert "HostCertificate" in refusal
    assert "ssh-keyscan" not in refusal


def test_whatever_ssh_config_says_an_unknown_key_is_refused(beside: Beside) -> None:
    # Given an unknown host, and settings that would let ssh connect to it
    beside.known_hosts.write_text("")
    beside.write(f"Host web1\n  ProxyCommand {beside.server('host')}\n  StrictHostKeyChecking no\n")
    # Then it is refused all the same, and nothing is learned
    assert "is not in" in beside.ours("web1")
    assert beside.known_hosts.read_text() == ""
