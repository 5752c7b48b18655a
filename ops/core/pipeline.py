"""The pipeline that a command runs in, as far as its log is concerned: what is an order to it, and what must be none.

GitHub: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
GitLab: https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from ops.core.plain import cell, shown
from ops.core.strenum import StrEnum

_CONTROL = re.compile(r"(\x1b\[[0-9;]*m)|[\x00-\x08\x0b-\x1f\x7f]")
_TITLE = "karafka-ops"
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


class Level(StrEnum):
    """How bad it is."""

    ERROR = "error"
    WARNING = "warning"


class Pipeline(Protocol):
    """One kind of pipeline."""

    def plain(self, line: str) -> str:
        """Give a line so that the log shows it and obeys nothing in it."""
        ...

    def begin(self, title: str) -> str:
        """Give what begins a part of the log that can be folded; one at a time."""
        ...

    def end(self) -> str:
        """Give what ends it."""
        ...

    def mark(self, level: Level, title: str, text: str) -> str:
        """Give what shows a text above the log; empty where there is no such thing."""
        ...


class GitHub:
    """GitHub Actions, and those that are like it."""

    def plain(self, line: str) -> str:
        """Give a line that is no command: those begin with `::`, older ones with `##[` anywhere."""
        text = _shown(line).replace("##[", "# #[")
        return f"| {text}" if text.lstrip().startswith("::") else text

    def begin(self, title: str) -> str:
        """Give what begins a group."""
        return f"::group::{_data(cell(title))}"

    def end(self) -> str:
        """Give what ends it."""
        return "::endgroup::"

    def mark(self, level: Level, title: str, text: str) -> str:
        """Give an annotation."""
        named = _data(cell(title)).replace(":", "%3A").replace(",", "%2C")
        return f"::{level} title={named}::{_data(shown(text))}"


class GitLab:
    """GitLab CI/CD.

    Parameters
    ----------
    clock : seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._name = ""
        self._count = 0

    def plain(self, line: str) -> str:
        """Give a line that is no section: those need a carriage return."""
        return _shown(line)

    def begin(self, title: str) -> str:
        """Give what begins a section."""
        self._count += 1
        self._name = f"{_NO_NAME.sub('_', title)}_{self._count}"
        return f"\x1b[0Ksection_start:{self._clock():.0f}:{self._name}\r\x1b[0K{cell(title)}"

    def end(self) -> str:
        """Give what ends it."""
        return f"\x1b[0Ksection_end:{self._clock():.0f}:{self._name}\r\x1b[0K"

    def mark(self, level: Level, title: str, text: str) -> str:  # noqa: ARG002
        """Give nothing: its log is all there is."""
        return ""


def pipeline_of(environ: Mapping[str, str] = os.environ) -> Pipeline | None:
    """Give the kind of pipeline that this process runs in, by its own variables; None for none that is known."""
    if environ.get("GITHUB_ACTIONS") == "true":
        return GitHub()
    return GitLab() if environ.get("GITLAB_CI") == "true" else None


def may_ask() -> bool:
    """Whether there is anybody to ask: a terminal, and no pipeline that has given one to nobody."""
    there = sys.stdin is not None and not sys.stdin.closed  # `<&-`; a hook that called exit() has closed it
    return pipeline_of() is None and there and sys.stdin.isatty()


def as_data(text: str) -> str:
    """Give JSON so that no pipeline has to change a line of it: a bracket that could be of a command is escaped."""
    return text.replace("##[", r"##\u005b")


def error_text(text: str) -> str:
    """Give the last words of a command that failed, as its pipeline shows them best."""
    pipeline, text = pipeline_of(), shown(text)
    if pipeline is None:
        return f"error: {text}"
    first, *rest = text.splitlines() or [""]
    marked = pipeline.mark(Level.ERROR, _TITLE, text)
    return marked or "\n".join(pipeline.plain(line) for line in (f"error: {first}", *rest))


def _shown(line: str) -> str:
    """Give a line without control characters but tabs and our own colours; a log is no terminal to be steered."""
    return _CONTROL.sub(lambda match: match[1] or "�", line)


def _data(text: str) -> str:
    """Escape a command's text."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
