"""What an ssh-agent answers is not believed: it ends in keys or in an error, and keeps nobody waiting."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from paramiko import Ed25519Key
from paramiko.ssh_exception import SSHException

from ops.fleet.transport.agents import PatientAgent
from ops.sandbox.keys import make_key


def packed(*texts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(text)) + text for text in texts)


def keys_of(folder: Path, answer: bytes) -> list[tuple[str, str]]:
    """List the keys of an agent that answers so, each with its comment."""
    path = str(folder / "agent")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(packed(answer))
                connection.recv(100)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            agent = PatientAgent(path, nullcontext)
            found = [(one.name, one.comment) for one in agent.get_keys()]
            agent.close()
            return found
        finally:
            server.join(10)
            Path(path).unlink()


def test_a_key_is_taken_whatever_its_comment_is_and_one_of_no_known_kind_is_passed_over(tmp_path: Path) -> None:
    # Given an agent with keys whose kind nobody knows, and one with a comment that is not UTF-8
    make_key(tmp_path / "id")
    blob = Ed25519Key.from_private_key_file(str(tmp_path / "id")).asbytes()
    junk = packed(b"junk", b"", b"\xff\xfe", b"", packed(b"\xff\xfe", b"x"), b"")
    answer = b"\x0c" + struct.pack(">I", 4) + junk + packed(blob, "Jörg".encode("latin-1"))
    # Then the latter is there
    assert ("ssh-ed25519", "J\ufffdrg") in keys_of(tmp_path, answer)


@pytest.mark.parametrize(
    "answer", [b"\x0c\xff\xff\xff\xff", b"\x0c\x00\x00\x00\x02" + packed(b"x", b"x"), b"\x05", b""]
)
def test_an_agent_that_lists_no_keys_is_an_error_at_once(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(SSHException, match=r"it claims to have more keys than it lists|it does not list its keys"):
        keys_of(tmp_path, answer)
