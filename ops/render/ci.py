"""What a pipeline shows beside plain lines: foldable parts, errors above the log, the step's summary, a picture."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ops.core.evidence import Evidence
from ops.core.guarded import issue
from ops.core.pipeline import Level, pipeline_of
from ops.core.plain import cell
from ops.core.protocol import ProcessReport
from ops.core.telling import Happening, HostFact, HostRelease, Narrator, Result, Said, StageBegun, StageEnded, Table
from ops.render.progress import Progress
from ops.render.step_summary import change_summary, deploy_summary

PICTURES = Path("karafka-rollouts")
"""Where pictures are written, below the working directory: the pipeline can keep them as an artifact."""
_MARKS = 8  # GitHub shows ten of a step: the result's is to be among them


class Marks:
    """Parts and marks of a pipeline's log; silent where no pipeline is known.

    Parameters
    ----------
    sections : whether the log is folded.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ, *, sections: bool = True) -> None:
        self.pipeline = pipeline_of(environ)
        self.summary = environ.get("GITHUB_STEP_SUMMARY", "")
        self.stream = stream
        self._sections = sections
        self._open = False
        self._marked = 0

    def begin(self, title: str) -> None:
        """Begin a part; it ends the one before."""
        if self.pipeline is not None and self._sections:
            self.end()
            self._open = True
            issue(self.stream, self.pipeline.begin(title))

    def end(self) -> None:
        """End the part that is open, if there is one."""
        if self.pipeline is not None and self._open:
            self._open = False
            issue(self.stream, self.pipeline.end())

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Fold what is said within."""
        self.begin(title)
        try:
            yield
        finally:
            self.end()

    def mark(self, level: Level, title: str, text: str, *, last: bool = False) -> None:
        """Show a text above the log; not all of very many, but always the last one."""
        if self.pipeline is None or (self._marked >= _MARKS and not last):
            return
        self._marked += 1
        command = self.pipeline.mark(level, title, text)
        if command:
            issue(self.stream, command)


class MarkedProgress(Progress):
    """Progress lines; what fails is marked, too."""

    def __init__(self, stream: TextIO, marks: Marks) -> None:
        super().__init__(stream)
        self._marks = marks

    def report(self, host: str, report: ProcessReport, *, lines: bool = True) -> None:
        """Write what came of a process; mark it where it failed."""
        super().report(host, report, lines=lines)
        if not report.ok:
            text = "\n".join((report.message or str(report.state), *report.log))
            self._marks.mark(Level.ERROR, f"{host} {report.name}", text)

    def trouble(self, text: str) -> None:
        """Write and mark what went wrong."""
        super().trouble(text)
        self._marks.mark(Level.ERROR, cell(text.splitlines()[0])[:80] if text else "", text)


class PipelineNarrator:
    """Passes on what a deploy says, and shows a pipeline what it can show.

    Parameters
    ----------
    inner : writes the lines.
    """

    def __init__(self, inner: Narrator, marks: Marks, errors: TextIO) -> None:
        self._inner = inner
        self._marks = marks
        self._errors = errors
        self._rows: tuple[HostRelease, ...] = ()
        self._lock = threading.Lock()

    def tell(self, event: Happening) -> None:
        """Show it; from any thread."""
        with self._lock:
            if isinstance(event, StageBegun):
                self._marks.begin(f"deploy:{event.stage}")
            self._inner.tell(event)
            match event:
                case StageEnded():
                    self._marks.end()
                case HostFact(host, _, detail, process, failed=True):
                    self._marks.mark(Level.ERROR, f"{host} {process}".rstrip(), detail)
                case Said(text, failed=True):
                    self._marks.mark(Level.WARNING, "deploy", text)
                case Table(rows):
                    self._rows = rows
                case Result():
                    self._result(event)

    def _result(self, result: Result) -> None:
        if result.exit_code:
            self._marks.mark(Level.ERROR, f"{result.flow} to {result.stage} failed", result.message, last=True)
        data = json.loads(json.dumps(result.rollout))  # its tuples as lists, as it is kept
        evidence = Evidence.from_json(data) if data is not None else None
        progress = Progress(self._errors)
        picture = keep_picture(evidence, self._marks, progress)
        append(self._marks, deploy_summary(result, self._rows, evidence, picture), progress)


def narrated(inner: Narrator, errors: TextIO, *, sections: bool) -> Narrator:
    """Give who tells a deploy, to a pipeline also where one is known."""
    marks = Marks(errors, sections=sections)
    return inner if marks.pipeline is None else PipelineNarrator(inner, marks, errors)


def summarise(
    marks: Marks, verb: str, stage: str, exit_code: int, lines: list[tuple[str, str, str]], evidence: Evidence | None
) -> None:
    """Write the step's summary of a start, stop or restart.

    Parameters
    ----------
    lines : host, process and what came of it.
    """
    progress = Progress(marks.stream)
    picture = keep_picture(evidence, marks, progress)
    append(marks, change_summary(verb, stage, exit_code, lines, evidence, picture), progress)


def append(marks: Marks, text: str, progress: Progress) -> None:
    """Append to the step's summary where there is one; that it cannot be written changes nothing of what was done."""
    if marks.pipeline is None or not marks.summary:
        return
    try:
        with Path(marks.summary).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        progress.trouble(f"the step's summary could not be written: {error.strerror}")


def keep_picture(evidence: Evidence | None, marks: Marks, progress: Progress) -> str:
    """Write a rollout's timeline for the pipeline to keep; gives its path, empty where there is none."""
    if evidence is None or marks.pipeline is None:
        return ""
    from ops.render.timeline import timeline

    path = PICTURES / f"{evidence.name}.svg"
    try:
        PICTURES.mkdir(exist_ok=True)
        path.write_text(timeline(evidence), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        progress.trouble(f"the picture could not be written: {error.strerror}")
        return ""
    progress.say(f"picture: {path}")
    return str(path)
