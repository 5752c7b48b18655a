"""How far a download is: a bar on a terminal, plain lines elsewhere; always on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

_PLAIN_EVERY_FILES = 10


class Progress:
    """Progress of the download of many files.

    Parameters
    ----------
    what : what is downloaded.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[detail]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(f"{what}: looking up what it needs", total=None, detail="")
        self._expected = 0
        self._files = 0
        self._bytes = 0

    def __enter__(self) -> Progress:
        if self._bar.disable:
            self._console.print(f"downloading {self._what} (once, about 45 MB)", highlight=False)
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if error is None:
            megabytes = self._bytes / 1e6
            self._console.print(f"{self._what}: {self._files} files, {megabytes:.0f} MB", highlight=False)

    def expect(self, files: int) -> None:
        """Say how many files are to come from now on."""
        self._expected = files
        self._files = self._bytes = 0
        self._bar.update(self._task, description=self._what, completed=0, total=files)

    @contextmanager
    def file(self, name: str, _size: int) -> Iterator[Callable[[int], None]]:
        """Begin a file; gives what is to be called with each number of bytes that came in."""

        def came_in(count: int) -> None:
            self._bytes += count
            detail = f"{self._files} of {self._expected} files, {self._bytes / 1e6:.1f} MB, {name}"
            self._bar.update(self._task, detail=detail if self._expected else name)

        yield came_in
        self._files += 1
        if not self._expected:
            return
        self._bar.update(self._task, completed=self._files)
        if self._bar.disable and self._files % _PLAIN_EVERY_FILES == 0:
            self._console.print(f"  {self._files} of {self._expected} files", highlight=False)
