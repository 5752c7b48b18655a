"""known_hosts: which lines mean a host, which keys and certificates are trusted."""

from __future__ import annotations

import base64
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.fleet.transport.certificates import CertificateError, is_certificate, read_certificate
from ops.fleet.transport.known_hosts import Finding, Judgement, KnownHosts, Trust, fingerprint, host_name, revoked_keys
from ops.sandbox.keys import make_key
from tests.labs.parts import SSH, needs


def public_key(number: int) -> str:
    """Return the same key for a number in every process: names of tests have it in them."""
    key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def wire(line: str) -> bytes:
    """Return a public key in SSH's wire format."""
    return base64.b64decode(line.split()[1])


HOST, OTHER, AUTHORITY = public_key(1), public_key(2), public_key(3)


def known(tmp_path: Path, text: str, name: str = "web1.example.com") -> list[tuple[str, bytes]]:
    """Return the markers and keys of the lines for a host."""
    file = tmp_path / "known_hosts"
    file.write_bytes(text.encode())
    return [(entry.marker, entry.key) for entry in KnownHosts().entries(name, [str(file)])]


@pytest.mark.parametrize(
    ("names", "count"),
    [
        ("web1.example.com", 1),
        ("WEB1.example.com", 1),
        ("10.0.0.1,web1.example.com", 1),
        ("*.example.com", 1),
        ("web?.example.com", 1),
        ("*.example.com,!web1.example.com", 0),
        ("!web1.example.com,*.example.com", 0),
        ("!web2.example.com,*.example.com", 1),
        ("!web1.example.com", 0),
        ("web2.example.com", 0),
        ("[web1.example.com]:2222", 0),
        ("@cert-authority *.example.com", 1),
        ("@revoked *", 1),
        ("@odd *", 0),
        ("@revoked @cert-authority *", 0),
        ("#web1.example.com", 0),
        ("# web1.example.com", 0),
        ("\t web1.example.com\t", 1),
        ("|1|web1|example", 0),
        ("|2|AAAA|AAAA", 0),
    ],
)
def test_a_line_means_the_hosts_it_names(tmp_path: Path, names: str, count: int) -> None:
    # Given a line of known_hosts
    # Then it counts for the hosts that its names mean, and no other
    assert len(known(tmp_path, f"{names} {HOST} a comment\n")) == count


def test_lines_are_given_in_their_order_however_they_name_the_host(tmp_path: Path) -> None:
    # Given lines that mean a host by a pattern, its name in capitals, a name twice, and another pattern
    text = f"*.example.com {OTHER}\nWEB1.example.com {HOST}\nweb1.example.com,web1.example.com {OTHER}\nweb? {HOST}\n"
    # Then those that mean it are given in the file's order, each once
    assert known(tmp_path, text) == [("", wire(OTHER)), ("", wire(HOST)), ("", wire(OTHER))]


def test_another_port_is_another_name(tmp_path: Path) -> None:
    # Given lines with ports
    text = f"[web1.example.com]:2222 {HOST}\nweb1.example.com {OTHER}\n"
    # Then the port decides, and brackets are no pattern
    assert known(tmp_path, text, host_name("web1.example.com", 2222)) == [("", wire(HOST))]
    assert known(tmp_path, text, host_name("web1.example.com", 22)) == [("", wire(OTHER))]
    assert len(known(tmp_path, f"[*.example.com]:2222 {HOST}\n", "[web1.example.com]:2222")) == 1
    assert known(tmp_path, f"w {HOST}\n", "[w]") == []


@pytest.mark.parametrize(
    "line",
    [
        "web1.example.com",
        "web1.example.com ssh-ed25519",
        "web1.example.com ssh-ed25519 !!!",
        "web1.example.com ssh-rsa AAAAC3NzaC1lZDI1NTE5",
        "web1.example.com 1024 35 1234567",
        "\xff\xfe",
        "\r",
    ],
)
def test_garbage_is_no_key(tmp_path: Path, line: str) -> None:
    # Given a line that is none
    # Then it is passed over, and the others count, whatever ends them
    assert len(known(tmp_path, f"{line}\n\n  \nweb1.example.com {HOST}\r\n")) == 1


PATTERNS = st.lists(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "", "!"]),
            st.sampled_from(
                [
                    "*",
                    "web1",
                    "web?",
                    "w*1",
                    "[web1]:2222",
                    "[w*]:22*",
                    "WEB1",
                    "db1",
                    "web1.a.b",
                    "*.a.b",
                    "?*",
                    "10.*",
                ]
            ),
        ),
    ),
    min_size=1,
    max_size=4,
).map(",".join)
NAMES = ["web1", "web2", "[web1]:2222", "db1", "web1.a.b", "10.0.0.1", "[10.0.0.1]:22022"]


@needs(SSH)
def test_lines_are_found_as_ssh_keygen_finds_them(tmp_path: Path) -> None:
    # Given any lines: patterns, negated, several, marked, hashed
    keys = [public_key(10 + one) for one in range(8)]
    file = tmp_path / "known_hosts"

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.tuples(st.sampled_from(["", "@revoked ", "@cert-authority "]), PATTERNS), max_size=8),
        st.booleans(),
        st.sampled_from(NAMES),
    )
    def check(lines: list[tuple[str, str]], hashed: bool, name: str) -> None:
        text = [f"{marker}{names} {key}\n" for (marker, names), key in zip(lines, keys, strict=False)]
        file.write_text("".join(text))
        if hashed:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=False, capture_output=True, timeout=20)
        found = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", file], capture_output=True, text=True, timeout=20, check=False
        )
        expected = [line for line in found.stdout.splitlines() if not line.startswith("#")]
        # When a host is looked up
        entries = KnownHosts().entries(name, [str(file)])
        # Then the same lines count as for ssh-keygen
        assert [entry.key for entry in entries] == [wire(line[line.index("ssh-ed25519") :]) for line in expected]

    check()


def test_a_missing_file_has_no_keys(tmp_path: Path) -> None:
    # Given a file that is not there
    # Then it says nothing
    assert KnownHosts().entries("web1", [str(tmp_path / "none"), str(tmp_path / "none" / "none")]) == ()


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    # Given a folder in the file's place
    with pytest.raises(OSError, match="directory"):
        KnownHosts().entries("web1", [str(tmp_path)])


def trust(tmp_path: Path, text: str, bare: str = "", revoked: frozenset[bytes] = frozenset()) -> Trust:
    files = tmp_path / "own", tmp_path / "bare"
    for file, content in zip(files, (text, bare), strict=True):
        file.write_text(content)
    own, other = (KnownHosts().entries("web1", [str(file)]) for file in files)
    return Trust("web1", own, other, revoked)


@pytest.mark.parametrize(
    ("text", "bare", "finding"),
    [
        (f"web1 {HOST}", "", Finding.KNOWN),
        ("", "", Finding.UNKNOWN),
        (f"web1 {OTHER}", "", Finding.CHANGED),
        (f"web1 {OTHER}\nweb1 {HOST}", "", Finding.KNOWN),
        (f"web1 {HOST}\n@revoked web1 {HOST}", "", Finding.REVOKED),
        (f"@revoked web1 {OTHER}\nweb1 {HOST}", "", Finding.KNOWN),
        (f"@cert-authority web1 {HOST}", "", Finding.UNKNOWN),
        ("", f"web1 {HOST}", Finding.KNOWN),
        ("", f"web1 {OTHER}", Finding.UNKNOWN),
        (f"web1 {OTHER}", f"web1 {HOST}", Finding.CHANGED),
        (f"web1 {HOST}", f"@revoked web1 {HOST}", Finding.REVOKED),
    ],
)
def test_a_plain_key_is_judged_by_the_lines_for_its_host(
    tmp_path: Path, text: str, bare: str, finding: Finding
) -> None:
    # Given lines for the host and port, and for the bare name
    # Then they decide, those for the bare name where the others say nothing
    assert trust(tmp_path, text, bare).judge(wire(HOST)).finding is finding


def test_a_key_revoked_by_ssh_configs_list_is_refused(tmp_path: Path) -> None:
    # Given a list of revoked keys
    file = tmp_path / "revoked"
    file.write_text(f"# lost\n\n{OTHER}\n{HOST} laptop\n")
    # Then none of them is trusted, and a list in binary form is said to be none
    assert revoked_keys(str(file)) == {wire(HOST), wire(OTHER)}
    made = trust(tmp_path, f"web1 {HOST}", revoked=revoked_keys(str(file)))
    assert made.judge(wire(HOST)).finding is Finding.REVOKED
    file.write_bytes(b"SSHKRL\n\0" + bytes(20))
    with pytest.raises(ValueError, match="binary"):
        revoked_keys(str(file))


def test_kinds_of_keys_are_asked_for_that_can_be_trusted(tmp_path: Path) -> None:
    # Given a key and an authority for a host
    plain = trust(tmp_path, f"web1 {HOST}").algorithms
    certified = trust(tmp_path, f"web1 {HOST}\n@cert-authority * {AUTHORITY}").algorithms
    # Then certificates are asked for where there is an authority, and first
    assert plain == ("ssh-ed25519",)
    assert certified[0] == "ssh-ed25519-cert-v01@openssh.com"
    assert certified[-1] == "ssh-ed25519"
    assert trust(tmp_path, "").algorithms == ()


def certificate(tmp_path: Path, *options: str) -> tuple[bytes, str, str]:
    """Return a certificate, the line of its host's key, and the line of its authority's."""
    host, authority = make_key(tmp_path / "host"), make_key(tmp_path / "ca")
    (tmp_path / "host.pub").write_text(f"{host}\n")
    command = ["ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", "web1's", *options, tmp_path / "host.pub"]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    return wire((tmp_path / "host-cert.pub").read_text()), host, authority


@needs(SSH)
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-h", "-n", "web1"), ""),
        (("-h", "-n", "web2,web1", "-V", "-1h:+1h"), ""),
        (("-h",), ""),
        (("-h", "-n", "web2"), "is for web2, not for web1"),
        (("-h", "-n", "web*"), "not for web1"),
        (("-h", "-n", "web1", "-V", "-2h:-1h"), "has expired at"),
        (("-h", "-n", "web1", "-V", "+1h:+2h"), "is not valid before"),
        (("-n", "web1"), "is a user's"),
    ],
)
def test_a_certificate_has_to_be_a_hosts_for_its_name_and_in_its_time(
    tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    # Given a certificate of a known authority
    data, host, authority = certificate(tmp_path, *options)
    # When it is judged
    judgement = trust(tmp_path, f"@cert-authority web* {authority}").judge(data)
    # Then it is trusted where it is good, else the reason is told
    assert judgement.finding is (Finding.UNKNOWN if reason else Finding.KNOWN)
    assert reason in judgement.reason
    # And it counts as the plain key in it, all the same
    assert trust(tmp_path, f"web1 {host}").judge(data).finding is Finding.KNOWN
    assert trust(tmp_path, f"web1 {OTHER}").judge(data).finding is Finding.CHANGED


@needs(SSH)
def test_a_certificate_with_an_option_that_must_be_known_is_refused(tmp_path: Path) -> None:
    # Given a certificate that is for some use only
    data, _, authority = certificate(tmp_path, "-h", "-n", "web1", "-O", "critical:purpose@example.com=backups")
    # Then it is not trusted
    judgement = trust(tmp_path, f"@cert-authority * {authority}").judge(data)
    assert judgement.finding is Finding.UNKNOWN
    assert "purpose@example.com" in judgement.reason


@needs(SSH)
def test_a_revoked_authority_or_key_spoils_a_certificate(tmp_path: Path) -> None:
    # Given a good certificate
    data, host, authority = certificate(tmp_path, "-h", "-n", "web1")
    good = f"@cert-authority * {authority}\n"
    assert trust(tmp_path, good).judge(data) == Judgement(Finding.KNOWN)
    # Then what revokes its key or its authority revokes it, and another authority says nothing of it
    for key in (host, authority):
        assert trust(tmp_path, f"{good}@revoked web1 {key}\n").judge(data).finding is Finding.REVOKED
        assert trust(tmp_path, good, revoked=frozenset([wire(key)])).judge(data).finding is Finding.REVOKED
    stranger = trust(tmp_path, f"@cert-authority * {AUTHORITY}").judge(data)
    assert stranger.finding is Finding.UNKNOWN
    assert fingerprint(wire(authority)) in stranger.reason
    assert trust(tmp_path, f"@cert-authority db* {authority}").judge(data).finding is Finding.UNKNOWN


@needs(SSH)
@pytest.mark.parametrize(("allowed", "good"), [((), True), (("ssh-ed25519",), True), (("rsa-sha2-512",), False)])
def test_an_authority_has_to_sign_as_ssh_config_allows(tmp_path: Path, allowed: tuple[str, ...], good: bool) -> None:
    # Given a good certificate, signed by an ed25519 key, and the algorithms that may sign
    data, _, authority = certificate(tmp_path, "-h", "-n", "web1")
    made = replace(trust(tmp_path, f"@cert-authority * {authority}"), signatures=allowed)
    # Then it is trusted where that one is among them, else the reason names it
    judgement = made.judge(data)
    assert (judgement.finding is Finding.KNOWN) == good
    assert ("is signed by ssh-ed25519" in judgement.reason) == (not good)


@needs(SSH)
def test_no_altered_certificate_is_trusted(tmp_path: Path) -> None:
    # Given a good certificate
    data, _, authority = certificate(tmp_path, "-h", "-n", "web1")
    made = trust(tmp_path, f"@cert-authority * {authority}")
    now = time.time()

    # When any byte of it is another one, or its end is missing
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(data) - 1), st.integers(1, 255), st.booleans())
    def check(at: int, change: int, cut: bool) -> None:
        altered = data[:at] if cut else data[:at] + bytes([data[at] ^ change]) + data[at + 1 :]
        # Then it is not trusted
        assert made.judge(altered, now).finding is not Finding.KNOWN
        if is_certificate(altered):
            with pytest.raises(CertificateError):
                read_certificate(altered)

    check()
