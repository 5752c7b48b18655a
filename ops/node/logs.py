"""The processes' logs line by line, whoever keeps them: the journal's or their files'; to the end, or as they come."""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from ops.core import keeping
from ops.core.errors import OpsError
from ops.core.keeping import Keeping
from ops.core.protocol import LINE, Event, LogCall, ProcessReport, ProcessSpec, Request
from ops.node import inspection
from ops.node.location import located
from ops.node.logfile import LogFile

_LOOK_SECONDS = 0.2  # between two looks at files, which wake nobody up
_BEAT_SECONDS = 15.0  # so that a connection that is gone is noticed where no line comes
_OUTPUT = 1

Emit = Callable[[Event], None]


def tell(request: Request, call: LogCall, emit: Emit) -> tuple[ProcessReport, ...]:
    """Tell the logs of the processes, one event a line.

    With `follow` it ends when nobody reads the events any more, or nothing is left that could tell any.

    Returns
    -------
    A report a process: not ok where its log could not be read.
    """
    systemd = request.keeping.kind == keeping.SYSTEMD
    reader = _JournalReader(request.keeping, call, emit) if systemd else _FileReader(call, emit)
    try:
        for spec in request.processes:
            try:
                reader.begin(spec)
            except OpsError as error:
                reader.troubles[spec.name] = str(error)
            except OSError as error:
                reader.troubles[spec.name] = f"its log cannot be read: {error.filename}: {error.strerror}"
        if call.follow:
            reader.follow()
    finally:
        reader.close()
    return tuple(
        inspection.seen(spec, ok=not trouble, message=trouble)
        for spec in request.processes
        for trouble in [reader.troubles.get(spec.name, "")]
    )


class _Reader(ABC):
    """What readers of logs have in common.

    Attributes
    ----------
    troubles : process -> why its log could not be read.
    """

    def __init__(self, call: LogCall, emit: Emit) -> None:
        self.troubles: dict[str, str] = {}
        self._call = call
        self._emit = emit
        self._poll = select.poll()
        self._poll.register(_OUTPUT, 0)  # POLLERR and POLLHUP come unasked: the other end is gone
        self._beat = time.monotonic() + _BEAT_SECONDS

    @abstractmethod
    def begin(self, spec: ProcessSpec) -> None:
        """Tell what there is of one process."""

    @abstractmethod
    def follow(self) -> None:
        """Tell what comes, until nobody listens or nobody tells."""

    @abstractmethod
    def close(self) -> None:
        """Leave all of them."""

    def say(self, name: str, lines: Sequence[str]) -> None:
        """Tell lines of a process."""
        for line in lines:
            self._emit(Event(name, LINE, line))

    def wait(self, seconds: float) -> list[int] | None:
        """Wait for something to read; gives the descriptors, None when nobody listens any more."""
        found = [descriptor for descriptor, _ in self._poll.poll(seconds * 1000)]
        if time.monotonic() >= self._beat:
            self._beat = time.monotonic() + _BEAT_SECONDS
            self._emit(Event("", "listening"))
        return None if _OUTPUT in found else found


class _FileReader(_Reader):
    """Reads the log files of plain processes, and of supervisor's."""

    def __init__(self, call: LogCall, emit: Emit) -> None:
        super().__init__(call, emit)
        self._files: dict[str, LogFile] = {}

    def begin(self, spec: ProcessSpec) -> None:
        file = LogFile(Path(located(spec).files.log))
        self.say(spec.name, file.begin(self._call.lines, self._call.since_seconds))
        if self._call.follow:
            self._files[spec.name] = file
        else:
            self.say(spec.name, file.rest())
            file.close()

    def follow(self) -> None:
        while self._files and self.wait(_LOOK_SECONDS) is not None:
            for name, file in list(self._files.items()):
                try:
                    self.say(name, file.more())
                except OSError as error:
                    self.troubles[name] = f"its log cannot be read any more: {error.strerror}"
                    file.close()
                    del self._files[name]

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class _JournalReader(_Reader):
    """Reads the journal, one `journalctl` a unit; none is left behind."""

    def __init__(self, kept: Keeping, call: LogCall, emit: Emit) -> None:
        from ops.node.following import Following
        from ops.node.systemctl import Systemctl

        super().__init__(call, emit)
        self._systemctl = Systemctl(kept)
        self._journals: dict[int, tuple[str, Following]] = {}

    def begin(self, spec: ProcessSpec) -> None:
        from ops.node.following import Following, past

        call, unit = self._call, self._systemctl.kept.unit(spec.name)
        entries = past(self._systemctl, unit)
        oldest = 0.0 if call.since_seconds is None else (time.time() - call.since_seconds) * 1_000_000
        lines = [line for entry in entries if entry.at >= oldest for line in entry.lines]
        self.say(spec.name, lines[-call.lines :])
        if call.follow:
            following = Following(self._systemctl, unit, entries)
            self._journals[following.descriptor] = (spec.name, following)
            self._poll.register(following.descriptor, select.POLLIN)

    def follow(self) -> None:
        while self._journals and (readable := self.wait(_BEAT_SECONDS)) is not None:
            for descriptor in readable:
                name, following = self._journals[descriptor]
                lines = following.more()
                if lines is None:
                    self._poll.unregister(descriptor)
                    del self._journals[descriptor]
                    self.troubles[name] = following.close()
                else:
                    self.say(name, lines)

    def close(self) -> None:
        for _, following in self._journals.values():
            following.close()
