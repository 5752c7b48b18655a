"""What is said when supervisord cannot be asked, and when it refuses."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.node.supervisord import Supervisord, SupervisorError, UnknownProgramError


def answer(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def fault(code: int, text: str) -> bytes:
    pairs = f"<member><name>faultCode</name><value><int>{code}</int></value></member>"
    pairs += f"<member><name>faultString</name><value><string>{text}</string></value></member>"
    return answer("200 OK", f"<methodResponse><fault><value><struct>{pairs}</struct></value></fault></methodResponse>")


@pytest.fixture
def server_saying() -> Iterator[Callable[[bytes], Supervisord]]:
    """Make a server that answers anything with these bytes, and a client of it."""
    with tempfile.TemporaryDirectory(prefix="sv-") as folder:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{folder}/s")
        listener.listen()

        def make(said: bytes) -> Supervisord:
            def serve() -> None:
                for _ in range(2):  # the client tries once more where the connection was closed
                    try:
                        connection = listener.accept()[0]
                    except OSError:
                        return
                    with connection:
                        asked = b""
                        while b"</methodCall>" not in asked:
                            asked += connection.recv(65_536)
                        connection.sendall(said)

            threading.Thread(target=serve, daemon=True).start()
            return Supervisord(f"{folder}/s")

        yield make
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer("401 Unauthorized", ""), "supervisord wants a username and password"),
        (answer("500 Internal Server Error", ""), "HTTP status 500"),
        (answer("200 OK", "<html>"), "what answers is no supervisord"),
        (b"", "does not answer"),
        (fault(6, "SHUTDOWN_STATE"), "is shutting down"),
        (fault(92, "CANT_REREAD: no such user"), "cannot read its files: CANT_REREAD: no such user"),
        (fault(30, "FAILED: odd"), "FAILED: odd"),
    ],
)
def test_what_is_no_answer_is_told(server_saying: Callable[[bytes], Supervisord], said: bytes, expected: str) -> None:
    # Given a server that says something else than what was asked for
    server = server_saying(said)
    # Then the error names the place and what is wrong
    with pytest.raises(SupervisorError, match=expected):
        server.programs()
    server.close()


@pytest.mark.parametrize(
    ("code", "call", "expected"),
    [
        (10, "start", "fab karafka.install"),
        (10, "stop", "fab karafka.install"),
        (20, "start", "fab karafka.setup"),
        (21, "start", "fab karafka.setup"),
    ],
)
def test_a_refusal_says_what_to_do(
    server_saying: Callable[[bytes], Supervisord], code: int, call: str, expected: str
) -> None:
    # Given a supervisord that knows no such program, or cannot run it
    server = server_saying(fault(code, "why"))
    with pytest.raises(SupervisorError, match=expected) as error:
        getattr(server, call)("karafka-sources@karafka-0")
    assert isinstance(error.value, UnknownProgramError) is (code == 10)
    server.close()


def test_what_is_so_already_is_no_error(server_saying: Callable[[bytes], Supervisord]) -> None:
    # Given a program that runs, then its start is fine
    server = server_saying(fault(60, "ALREADY_STARTED"))
    server.start("one")
    server.close()


def test_what_does_not_run_was_not_stopped(server_saying: Callable[[bytes], Supervisord]) -> None:
    # Given a program that does not run, then a stop says that there was nothing to stop
    server = server_saying(fault(70, "NOT_RUNNING"))
    assert server.stop("one") is False
    server.close()


def test_a_socket_that_this_user_may_not_use_is_told(tmp_path: Path) -> None:
    # Given a socket whose folder is another user's
    tmp_path.chmod(0o700)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and later: a test run has other threads
        child = os.fork()  # which asks, and does nothing else
    if child == 0:  # root may do anything: ask as nobody
        code = 1
        try:
            if os.geteuid() == 0:
                os.setuid(65_534)
            else:
                tmp_path.chmod(0)
            Supervisord(str(tmp_path / "s")).programs()
        except SupervisorError as error:
            code = 0 if "[unix_http_server] of supervisord.conf" in str(error) else 2
        finally:
            os._exit(code)
    # Then the error names the settings that let it in
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    tmp_path.chmod(0o700)
