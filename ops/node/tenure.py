"""The right to work on a slot: nobody else's agent starts or stops it meanwhile, whichever files it lives in."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from ops.core.amounts import in_seconds
from ops.core.errors import LockHeldError
from ops.core.locks import Byte, SlotLock
from ops.core.protocol import ProcessSpec
from ops.node import ending, replacement, turn
from ops.node.location import located
from ops.node.turn import Permit


class Tenure:
    """Holds a slot's operation byte, and that of the files that its process lives in where those are others.

    Parameters
    ----------
    permit : asked when the slot is this agent's; what has begun then is finished, whoever has the lease.

    Attributes
    ----------
    spec : the process, with the files that it lives in.
    """

    def __init__(self, spec: ProcessSpec, permit: Permit) -> None:
        self.spec = spec
        self._permit = permit
        self._own = spec  # with the slot's own files

    def __enter__(self) -> Tenure:
        self._home = self._lock = self._taken(self.spec)
        try:
            self.spec = located(self._own)
            if self.spec.files.lock != self._own.files.lock:
                self._lock = self._taken(self.spec)
        except BaseException:
            self._home.close()
            raise
        return self

    def _taken(self, spec: ProcessSpec) -> SlotLock:
        """Open a lock file and take its operation byte."""
        seconds = replacement.seconds(spec) + ending.KILL_WAIT_SECONDS  # a whole restart of another one's

        def busy(holder: int | None) -> LockHeldError:
            what = f"process {holder} has been starting or stopping it for {in_seconds(seconds)}"
            return LockHeldError(what, where=spec.name, hint=f"look at it with: ps -fp {holder}")

        return turn.hold(
            Path(spec.files.lock), Byte.OPERATION, seconds, self._permit, busy=busy,
            waiting=lambda holder: self._say("waiting", f"for agent {holder}, which is at it"),
        )  # fmt: skip

    def _go_home(self) -> None:
        """Go on in the slot's own files: what lived in others has ended."""
        if self._lock is not self._home:
            self._lock.close()
        self._lock, self.spec = self._home, self._own

    @property
    def _record(self) -> Path:
        return Path(self.spec.files.record)

    @property
    def _log(self) -> Path:
        return Path(self.spec.files.log)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._go_home()
        self._home.close()

    def _say(self, step: str, detail: str = "") -> None:
        """Tell what happens as it happens."""
        raise NotImplementedError
