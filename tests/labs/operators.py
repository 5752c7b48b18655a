"""Commands of `fab` that run beside a test, and what they say."""

from __future__ import annotations

import subprocess
import sysconfig
import threading
from pathlib import Path

from ops.core.deadline import Deadline

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")
PATIENCE = 90.0


class Operator:
    """A command at work, and what it says."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.out, self.err = "", ""
        self._readers = [threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)

    def until(self, text: str) -> None:
        """Wait until it has said something on standard error."""
        assert Deadline(PATIENCE).poll(lambda: text in self.err or self.process.poll() is not None), self.err
        assert text in self.err, self.err

    def end(self) -> int:
        """Wait for its end; gives the exit code."""
        code = self.process.wait(170)
        for reader in self._readers:
            reader.join(PATIENCE)
        assert "Traceback" not in self.err, self.err
        return code

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                setattr(self, name, getattr(self, name) + line)
