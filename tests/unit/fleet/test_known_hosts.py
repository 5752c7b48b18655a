"""known_hosts: which lines mean a host, which keys are trusted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from paramiko import SSHClient

from ops.fleet.transport.known_hosts import KnownHosts, UnknownHostKey, add_command, remove_command
from tests.labs.parts import SSH, needs


def public_key() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def trusted(tmp_path: Path, text: str, address: str = "web1.example.com", port: int = 22) -> int:
    """Return how many keys are trusted for a host."""
    file = tmp_path / "known_hosts"
    file.write_text(text)
    client = SSHClient()
    KnownHosts([str(file)]).trust(client, address, port)
    return sum(len(keys) for keys in client.get_host_keys().values())


@pytest.mark.parametrize(
    ("names", "count"),
    [
        ("web1.example.com", 1),
        ("WEB1.example.com", 1),
        ("10.0.0.1,web1.example.com", 1),
        ("*.example.com", 1),
        ("web?.example.com", 1),
        ("*.example.com,!web1.example.com", 0),
        ("web2.example.com", 0),
        ("[web1.example.com]:2222", 0),
        ("@cert-authority *.example.com", 0),
        ("#web1.example.com", 0),
    ],
)
def test_a_line_means_the_hosts_it_names(tmp_path: Path, names: str, count: int) -> None:
    # Given a line of known_hosts
    # Then its key is trusted for the hosts that its names mean, and no other
    assert trusted(tmp_path, f"{names} {public_key()} a comment\n") == count


def test_another_port_is_another_name(tmp_path: Path) -> None:
    # Given lines with ports
    text = f"[web1.example.com]:2222 {public_key()}\nweb1.example.com {public_key()}\n"
    # Then the port decides, and brackets are no pattern
    assert trusted(tmp_path, text, port=2222) == 1
    assert trusted(tmp_path, f"[*.example.com]:2222 {public_key()}\n", port=2222) == 1
    assert trusted(tmp_path, f"w {public_key()}\n", address="[w]") == 0


@needs(SSH)
def test_hashed_names_are_found(tmp_path: Path) -> None:
    # Given a file that ssh-keygen has hashed
    file = tmp_path / "plain"
    file.write_text(f"web1.example.com {public_key()}\n[web1.example.com]:2222 {public_key()}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(file)], check=True, capture_output=True, timeout=20)
    text = file.read_text()
    assert "web1" not in text
    # Then its hosts are found all the same
    assert trusted(tmp_path, text) == 1
    assert trusted(tmp_path, text, port=2222) == 1
    assert trusted(tmp_path, text, address="web2.example.com") == 0


@pytest.mark.parametrize(
    "line", ["web1.example.com", "web1.example.com ssh-ed25519", "web1.example.com ssh-ed25519 !!!"]
)
def test_garbage_is_no_key(tmp_path: Path, line: str) -> None:
    # Given a line that is none
    # Then it is passed over, and the others count
    assert trusted(tmp_path, f"{line}\n\n  \nweb1.example.com {public_key()}\n") == 1


def test_a_missing_file_has_no_keys_and_an_unknown_key_is_refused(tmp_path: Path) -> None:
    # Given a file that is not there
    client = SSHClient()
    KnownHosts([str(tmp_path / "none")]).trust(client, "web1", 22)
    # Then nothing is trusted
    assert not client.get_host_keys()
    with pytest.raises(UnknownHostKey):
        client._policy.missing_host_key(client, "web1", None)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    # Given a folder in the file's place
    with pytest.raises(OSError, match="directory"):
        KnownHosts([str(tmp_path)]).trust(SSHClient(), "web1", 22)


def test_the_commands_can_be_pasted() -> None:
    # When names and files have blanks
    # Then they are quoted; a leading ~/ stays for the shell
    assert add_command("web1", 22, "~/.ssh/known_hosts", None) == "ssh-keyscan web1 >> ~/.ssh/known_hosts"
    assert add_command("10.0.0.1", 2222, "/a b/k", "jump") == "ssh jump ssh-keyscan -p 2222 10.0.0.1 >> '/a b/k'"
    assert remove_command("web1", 2222, "~/k h") == "ssh-keygen -R '[web1]:2222' -f ~/'k h'"
