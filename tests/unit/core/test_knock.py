"""Whatever answers in a broker's place: it lets nobody in, and nothing but an error of ours comes of it."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.core.brokers import Brokers
from ops.core.knock import RefusedError, knock

SECONDS = 5.0


@contextmanager
def answering(answers: list[bytes]) -> Iterator[str]:
    """Serve one connection: an answer for each request, then its end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client, suppress(OSError):  # who is refused goes at once
                for answer in answers:
                    client.recv(4096)
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            thread.join(SECONDS)


def framed(body: bytes) -> bytes:
    """Return an answer with its length and the number of the request before it."""
    return struct.pack(">ii", len(body) + 4, 1) + body


def brokers(address: str, mechanism: str) -> Brokers:
    return Brokers((address,), "SASL_PLAINTEXT", mechanism, "somebody", "hush")


WELCOME = framed(struct.pack(">hi", 0, 0))


@settings(max_examples=30, deadline=None)
@given(
    mechanism=st.sampled_from(["PLAIN", "SCRAM-SHA-256"]),
    answers=st.lists(
        st.one_of(
            st.just(WELCOME),
            st.binary(max_size=40),
            st.binary(max_size=40).map(framed),
            st.text(max_size=30).map(lambda said: framed(struct.pack(">hhi", 0, -1, len(said)) + said.encode())),
        ),
        max_size=3,
    ),
)
def test_no_answer_of_a_stranger_is_anything_but_refused_or_let_in(mechanism: str, answers: list[bytes]) -> None:
    said = ""
    with answering(answers) as address:
        try:
            knock(brokers(address, mechanism), address, 0.2)  # half an answer is waited for
        except (OSError, RefusedError) as error:
            said = str(error)
    assert "hush" not in said


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "something else than Kafka answered"),
        ([framed(struct.pack(">hih", 33, 1, 6) + b"GSSAPI")], "does not take PLAIN, but GSSAPI"),
        ([framed(struct.pack(">hi", 34, 0))], "no password is asked for here"),
        ([WELCOME, framed(struct.pack(">hh", 58, 2) + b"no" + struct.pack(">i", 0))], "refuses user 'somebody': no"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(answers: list[bytes], said: str) -> None:
    with answering(answers) as address, pytest.raises(RefusedError, match=said):
        knock(brokers(address, "PLAIN"), address, SECONDS)


def test_a_connection_that_is_closed_is_no_refusal_as_a_broker_that_starts_does_the_same() -> None:
    with answering([]) as address, pytest.raises(ConnectionError):
        knock(brokers(address, "PLAIN"), address, SECONDS)


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_peer_that_drips_is_given_up_in_time(protocol: str) -> None:
    # Given a peer whose answer is long, and comes byte by byte
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        with server.accept()[0] as client, suppress(OSError):
            for byte in struct.pack(">ii", 1000, 1) + bytes(1000):
                client.sendall(bytes([byte]))
                if over.wait(0.05):
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        asked = Brokers((address,), protocol, "PLAIN", "somebody", "hush")
        began = time.monotonic()
        try:
            # Then it counts as silent once the time is over, in the clear; in TLS such bytes are refused at once
            with pytest.raises((socket.timeout, TimeoutError, RefusedError)) as said:  # one class from 3.10 on
                knock(asked, address, 0.3)
        finally:
            over.set()
            thread.join(SECONDS)
    assert time.monotonic() - began < SECONDS
    assert not isinstance(said.value, RefusedError) or protocol == "SASL_SSL"
