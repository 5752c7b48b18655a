"""What follows a request on standard input: a file, read as it comes."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.release import Artifact
from ops.node.turn import LOOK_SECONDS, Permit

_CHUNK_BYTES = 1 << 18


class Payload:
    """The rest of standard input.

    Parameters
    ----------
    rest : what was read of it together with the request.

    Attributes
    ----------
    taken : how many bytes were read.
    """

    def __init__(self, descriptor: int, rest: bytes = b"") -> None:
        self.taken = 0
        self._descriptor = descriptor
        self._rest = rest
        self._look_at = 0.0

    def read(self, size: int, deadline: Deadline, permit: Permit) -> bytes:
        """Read some of it, at most `size` bytes; nothing at its end. See `readinto`."""
        data = bytearray(min(size, _CHUNK_BYTES))
        return bytes(data[: self.readinto(memoryview(data), deadline, permit)])

    def readinto(self, buffer: memoryview, deadline: Deadline, permit: Permit) -> int:
        """Read some of it into a buffer; gives how many bytes, 0 at its end.

        An operator whose machine has vanished ends nothing: its connection stands until somebody gives it up.

        Parameters
        ----------
        permit : asked each second; says whether it is still wanted.

        Raises
        ------
        LockHeldError : it is not.
        OpsError : the deadline passed.
        """
        if time.monotonic() >= self._look_at:
            permit()
            self._look_at = time.monotonic() + LOOK_SECONDS
        if self._rest:
            part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
            buffer[: len(part)] = part
            self.taken += len(part)
            return len(part)
        while not select.select([self._descriptor], [], [], min(LOOK_SECONDS, deadline.remaining))[0]:
            permit()
            if deadline.expired:
                raise OpsError(f"the upload was not through within {in_seconds(deadline.seconds)}")
        size = os.readv(self._descriptor, [buffer])
        self.taken += size
        return size


class Upload:
    """An artifact on its way: something to read from, which knows in the end whether it is the one that was meant."""

    def __init__(self, payload: Payload, artifact: Artifact, deadline: Deadline, permit: Permit) -> None:
        from hashlib import sha256

        self._payload = payload
        self._artifact = artifact
        self._deadline = deadline
        self._permit = permit
        self._digest = sha256()
        self._left = artifact.size

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some of it into a buffer; gives how many bytes, 0 at its end.

        Raises
        ------
        LockHeldError : nobody wants it any more.
        OpsError : it broke off, or took too long.
        """
        view = buffer[: self._left]
        size = self._payload.readinto(view, self._deadline, self._permit) if view else 0
        if view and not size:
            got = self._artifact.size - self._left
            raise OpsError(f"the upload of {self._artifact.name} broke off after {got} of {self._artifact.size} B")
        self._digest.update(view[:size])
        self._left -= size
        return size

    def parts(self) -> Iterator[bytes]:
        """Read what is left of it."""
        buffer = memoryview(bytearray(_CHUNK_BYTES))
        while size := self.readinto(buffer):
            yield bytes(buffer[:size])

    def require_whole(self) -> None:
        """Read what nobody wanted, and make sure that all of it is what was meant.

        Raises
        ------
        OpsError : it is not.
        """
        for _ in self.parts():
            pass
        if self._digest.hexdigest() != self._artifact.digest:
            what = f"{self._artifact.name} arrived with the SHA-256 {self._digest.hexdigest()[:16]}..."
            raise OpsError(f"{what}, not {self._artifact.digest[:16]}...")
