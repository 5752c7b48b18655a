"""Paramiko's end of a connection reads ahead, and still gives what came, as it came."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.fleet.transport.wire import Ahead, Packets


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20), st.lists(st.integers(1, 400), min_size=1))
def test_bytes_are_read_as_they_were_sent_in_pieces_of_any_size(sent: list[bytes], counts: list[int]) -> None:
    # Given what the other side sends and then ends
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for part in sent:
            theirs.sendall(part)
        theirs.shutdown(socket.SHUT_WR)
        # When it is read in pieces
        ahead, found, number = Ahead(ours), b"", 0
        while part := ahead.recv(counts[number % len(counts)]):
            # Then none is larger than asked for, all of it comes, and then the end
            assert len(part) <= counts[number % len(counts)]
            found, number = found + part, number + 1
        assert found == b"".join(sent)


def test_a_read_without_anything_to_read_ends_by_the_sockets_own_timeout() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # Given a socket with a timeout, of which all has been read
        ours.settimeout(0.01)
        theirs.sendall(b"all")
        ahead = Ahead(ours)
        assert (ahead.recv(2), ahead.recv(2)) == (b"al", b"l")
        # Then the next read ends by it
        with pytest.raises(TimeoutError):
            ahead.recv(1)


def test_a_handshake_is_late_by_its_deadline_until_it_is_complete() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        # Given one that has not begun
        packets = Packets(ours)
        packets.complete_handshake()
        assert not packets.handshake_timed_out()
        # When it has begun and its time is up
        packets.start_handshake(0)
        # Then it is late, whatever is said of its time later
        assert packets.handshake_timed_out()
        packets.start_handshake(60)
        assert packets.handshake_timed_out()
        # And never once it is complete
        packets.complete_handshake()
        assert not packets.handshake_timed_out()
