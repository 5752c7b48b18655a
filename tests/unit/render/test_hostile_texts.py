"""Whatever a host, a message or a group says: no terminal is steered, no line of ours is forged, JSON stays JSON."""

from __future__ import annotations

import io
import json
import os
import re
import unicodedata
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TextIO, cast, get_args, get_origin
from unittest import mock
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops.core import telling, topic_plan
from ops.core.checkup import Finding
from ops.core.evidence import Evidence, SlotEvidence
from ops.core.guarded import Guarded, write_json
from ops.core.hints import hints_of, is_union
from ops.core.history import HistoryAnswer
from ops.core.lag import LagRow
from ops.core.pipeline import GitHub, GitLab, Level, error_text
from ops.core.plain import cell, lines_of, plain, shown
from ops.core.protocol import Event, ProcessReport, Response, decode_line, encode_line
from ops.core.release import DeployAnswer, DeployCall, Release
from ops.core.states import State
from ops.node import audit
from ops.render.ci import MarkedProgress, Marks
from ops.render.deployment import ConsoleNarrator, JSONNarrator, hosts_table, releases_table
from ops.render.diff import print_diff
from ops.render.evidence import print_summary
from ops.render.findings import print_findings
from ops.render.history import print_history
from ops.render.jobs import queue_lines
from ops.render.lag import print_lag
from ops.render.letters import letter_lines
from ops.render.loglines import LogLines
from ops.render.processes import HostRows, print_processes
from ops.render.progress import Progress
from ops.render.step_summary import change_summary, deploy_summary
from ops.render.timeline import timeline
from ops.tasks import topics

FORGED = "12:00:00 web9 karafka-9: ready"
PARTS = (
    *("\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\", "\x1bPq\x1b\\"),
    *("\x9b31m", "\x9d0;x\x9c", "\x90", "\x07", "\b\b\b", "\r", "\x7f", "\0", "\u202e", "\u2066", "\u200f", "\ufeff"),
    *("\ud800", "\udc1b", "[red]", "[/red]", "[link=http://evil/]x[/link]", ":skull:", f"\n{FORGED}", f"\r\n{FORGED}"),
    *(f"\u2028{FORGED}", f"\x85{FORGED}", f"\v{FORGED}", "</text><script>alert(1)</script>", "\t", "é", "x", " ", "|"),
    *("`", "```\n", "&lt;", "<img src=x>", "@everyone", "http://evil/", "::error::no", "##[error]no", "%0A", "\x1b"),
)
HOSTILE = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join)
OURS = re.compile(r"\x1b\[[0-9;]*m")  # the colours that rich draws


class Terminal(io.StringIO):
    """A terminal that keeps what it was sent."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def filled(kind: Any, text: str) -> Any:
    """Make a value of a type in which every text is this one: all that a host could put there."""
    origin = get_origin(kind)
    if is_union(kind):
        return filled(next(one for one in get_args(kind) if one is not type(None)), text)
    if origin is tuple:
        return (filled(get_args(kind)[0], text),)
    if origin is dict:
        return {text: filled(get_args(kind)[1], text)}
    if origin is list:
        return [filled(get_args(kind)[0], text)]
    if is_dataclass(kind):
        hints = hints_of(kind)
        made = kind.__new__(cast(Any, kind))  # what it refuses to be made of must do no harm either
        vars(made).update({one.name: filled(hints[one.name], text) for one in fields(kind)})
        return made
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, tuple):  # a named one
        return kind(*(filled(one, text) for one in hints_of(kind).values()))
    simple = {str: text, int: 1, float: 1.0, bool: False, bytes: b"", Any: text}
    return simple[kind]


def steers(text: str) -> list[str]:
    """Return what would steer a terminal."""
    return [one for one in text if not (one.isprintable() or one in "\n\t" or unicodedata.category(one) == "Zs")]


def forged(text: str) -> list[str]:
    return [line for line in OURS.sub("", text).split("\n") if line.startswith(FORGED)]


def response(text: str) -> Response:
    """Return an answer of a host all of whose texts are this one."""
    from ops.core.history import HistoryAnswer as History
    from ops.core.installation import InstallAnswer
    from ops.core.lease import LeaseAnswer

    report = filled(ProcessReport, text)
    return Response(
        (report,), error=text, others=(report,), current=text, deployed=filled(DeployAnswer, text),
        history=filled(History, text), installed=filled(InstallAnswer, text), lease=filled(LeaseAnswer, text),
        progress={text: text}, described={text: [text]},
    )  # fmt: skip


def as_it_comes(text: str) -> Response:
    """Return the answer as it comes over the wire, where a release's names and revisions have to be such."""
    release = Release("20260101000000", revision="a" * 40, branch="main", performer="me", reason=text)
    deployed = DeployAnswer(releases=(release,), troubles=(text,), done=(text,), remarks=(text,))
    answer = decode_line(encode_line(replace(response(text), deployed=deployed)))
    assert isinstance(answer, Response)
    return answer


def everything(text: str, stream: TextIO) -> None:
    """Show all that there is, each text of it this one."""
    crashing = ProcessReport(text, State.CRASH_LOOPING, ok=False, message=text, release=text, log=(text, text))
    running = filled(ProcessReport, text)
    print_processes((HostRows(text, (running, crashing), text), HostRows.below([text])), stream)
    print_lag((filled(LagRow, text),), stream, (text,))
    print_findings((filled(Finding, text),), stream)
    print_diff((text, f"+{text}", f"-{text}"), stream)
    print_summary(filled(Evidence, text), stream)
    summary = filled(Evidence, text).summary()
    print_history(HistoryAnswer((text, text), (summary, {})), stream)
    progress = Progress(stream)
    progress.event(text, filled(Event, text))
    progress.report(text, crashing)
    progress.trouble(text)
    progress.say(text)
    logs = LogLines(stream, [(text, text)])
    logs.write(text, text, text)
    narrator = ConsoleNarrator(stream, stream)
    for happening in happenings(text):
        narrator.tell(happening)
    release = filled(Release, text)
    stream.write(
        "\n".join([*releases_table([(text, text, (release,))]), *hosts_table([filled(telling.HostRelease, text)])])
    )
    names = ("name", "topic", "partition", "offset", "attempts", "reason", "key", "value", "omitted")
    letter = {"at": 0.0} | dict.fromkeys(names, text)
    queue = {"topic": text, "jobs": 2, "oldest_seconds": 1.0, "read": 1}
    queue |= {"workers": [{"worker": text, "jobs": 1, "oldest_seconds": 1.0}]}
    stream.write("\n".join([*letter_lines([letter], 1.0), *queue_lines(queue, 1), ""]))


def happenings(text: str) -> list[telling.Happening]:
    kinds = [one for one in get_args(telling.Happening) if one not in (telling.Uploaded, telling.Result)]
    result = [telling.Result(text, text, code, 1.0, text, text, text) for code in (0, 1)]
    failed = [telling.HostFact(text, text, text, process, failed=True) for process in ("", text)]
    return [*(filled(kind, text) for kind in kinds), *failed, telling.Said(text, failed=True), *result]


@settings(max_examples=60)
@given(HOSTILE)
def test_no_text_of_a_host_gets_through_to_a_file_or_a_pipe(text: str) -> None:
    # When everything is shown where no terminal is, even without the door that guards a command's output
    stream = io.StringIO()
    everything(text, stream)
    # Then nothing of it steers a terminal that shows the file, and no line is forged
    assert steers(stream.getvalue()) == []
    assert forged(stream.getvalue()) == []


@settings(max_examples=60)
@example(f"{'x' * 60} {FORGED}\n{FORGED}")
@given(HOSTILE)
def test_no_text_of_a_host_steers_a_terminal(text: str) -> None:
    # When everything is shown on a terminal, as wide as no line is: where one wraps, its rest begins a line anyway
    raw = Terminal()
    guarded = Guarded(raw)
    with mock.patch.dict(os.environ, {"COLUMNS": "4000"}):
        everything(text, cast(TextIO, guarded))
    guarded.finish()
    # Then there are our colours and no other escape, and no line is forged
    assert steers(OURS.sub("", raw.getvalue())) == []
    assert "\x1b[31m" not in text or "�[31m" in raw.getvalue()
    assert forged(raw.getvalue()) == []


@settings(max_examples=60)
@given(HOSTILE.filter(lambda text: all(part not in text for part in ("\ud800", "\udc1b"))))
def test_json_is_json_and_has_no_escapes(text: str) -> None:
    # Given an answer as it comes over the wire
    answer = as_it_comes(text)
    # When it is shown as JSON, on a terminal that a pipeline has
    raw = Terminal()
    guarded = Guarded(raw, GitHub())
    write_json(cast(TextIO, guarded), json.loads(encode_line(answer)), indent=2)
    JSONNarrator(cast(TextIO, guarded)).tell(telling.Said(text))
    guarded.finish()
    # Then it can be read, means the same, and steers nothing
    first, _, rest = raw.getvalue().partition("\n}\n")
    assert json.loads(first + "}")["error"] == text
    assert json.loads(rest)["text"] == text
    assert steers(raw.getvalue()) == []


@settings(max_examples=60)
@given(HOSTILE)
def test_a_pipelines_marks_and_sections_carry_text_alone(text: str) -> None:
    for pipeline in (GitHub(), GitLab()):
        # When a pipeline is told of it
        raw = io.StringIO()
        marks = Marks(cast(TextIO, Guarded(raw, pipeline)), {}, sections=True)
        marks.pipeline = pipeline
        MarkedProgress(marks.stream, marks).report(
            text, ProcessReport(text, State.DEAD, ok=False, message=text, log=(text,))
        )
        title, mark = pipeline.begin(text), pipeline.mark(Level.ERROR, text, text)
        # Then its own orders are all that is not plain
        assert steers(raw.getvalue()) == []
        assert steers(mark) == []
        assert "\n" not in mark
        assert steers(title.replace("\x1b[0K", "").replace("\r", "")) == []
        assert title.count("\r") <= 1


@settings(max_examples=60)
@given(HOSTILE)
def test_the_steps_summary_has_no_markup_of_a_host(text: str) -> None:
    # When a step is summed up
    evidence = filled(Evidence, text)
    result = telling.Result(text, text, 1, 1.0, text, text, f"failed\n{text}")
    rows = (filled(telling.HostRelease, text),)
    for summary in (
        deploy_summary(result, rows, evidence, text),
        change_summary(text, text, 1, [(text,) * 3], evidence, ""),
    ):
        outside = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", summary)
        # Then what is no block of lines is escaped, and steers nothing
        assert steers(summary) == []
        assert not re.search(r"(?<!\\)[<>@]", re.sub(r"`[^`\n]*`", "", outside))
        assert "http:" not in re.sub(r"`[^`\n]*`", "", outside)
        assert len(set(re.findall(r"(?m)^`{3,}text$", summary))) <= 2


@settings(max_examples=40)
@given(HOSTILE)
def test_a_picture_is_a_picture_whatever_stands_in_it(text: str) -> None:
    # When a rollout is drawn
    slot = SlotEvidence(text, text, 1, False, message=text)
    drawn = timeline(Evidence(**{**filled_fields(Evidence, text), "slots": (slot,)}))
    # Then it is XML without a script, and no text of it steers a reader
    root = ElementTree.fromstring(drawn)
    assert {one.tag.rpartition("}")[2] for one in root.iter()} <= {
        "svg",
        "title",
        "desc",
        "style",
        "rect",
        "line",
        "text",
    }
    assert steers("".join(root.itertext())) == []


def filled_fields(kind: Any, text: str) -> dict[str, Any]:
    hints = hints_of(kind)
    return {one.name: filled(hints[one.name], text) for one in fields(kind)}


@settings(max_examples=40)
@given(HOSTILE)
def test_a_line_of_an_errors_text_steers_nothing(text: str) -> None:
    assert steers(error_text(text)) == []
    assert steers(shown(text)) == []
    assert "\n" not in cell(text)
    assert all(line.startswith("  ") for line in lines_of(text)[1:])


def test_the_logs_of_a_host_have_a_line_for_each_step(tmp_path: Path) -> None:
    # Given a deploy whose names have line breaks and escapes
    evil = f"main\nBranch evil (at 0) deployed as release 1 by root\x1b[2J\u2028{FORGED}"
    from ops.core.release import DeployAction

    call = DeployCall(DeployAction.FINISH, str(tmp_path), release="1", branch=evil, performer=evil)
    # When it is written down
    audit.log_revision(tmp_path, audit.revision_line(call))
    audit.note(tmp_path, call, None, 1.0, evil)
    # Then each log has one line more, and no escape
    for path in (tmp_path / audit.REVISIONS, tmp_path / audit.AUDIT):
        text = path.read_text()
        assert text.count("\n") == 1
        assert steers(text) == []


@pytest.mark.parametrize("text", ["café", "日本語", "a\u00a0b", "naïve\ttab", "e\u0301"])
def test_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


def test_nothing_draws_on_a_terminal_but_by_the_one_console() -> None:
    # Given all modules that show something
    root = Path(__file__).parents[3] / "ops"
    sources = {path: path.read_text() for path in root.rglob("*.py")}
    # Then rich's own console and text are made in one of them, and where nothing of a host comes: pictures, the sandbox
    allowed = {"render/console.py", "render/screen.py", "render/loglines.py", "sandbox/stage.py", "sandbox/progress.py"}
    made = {
        str(path.relative_to(root)) for path, text in sources.items() if re.search(r"\b(Console|Text)\((?!IO)", text)
    }
    drawn = {name for name in made if "rich" in (root / name).read_text()}
    assert drawn <= allowed


@settings(max_examples=40)
@given(HOSTILE)
def test_what_a_broker_says_of_topics_is_one_line_each_and_steers_nothing(text: str) -> None:
    # Given what a broker answered: a config value that differs, and why it refuses a topic
    change = topic_plan.TopicChange("topic", topic_plan.Action.DIFFERS, "named by the settings", text=text)
    out, err = io.StringIO(), io.StringIO()
    # When the plan is shown
    with redirect_stdout(out), redirect_stderr(err):
        topics._print((change,), {text: text}, 2, hint="")
    # Then there is a line for each, and nothing else
    assert [len(one.getvalue().splitlines()) for one in (out, err)] == [1, 1]
    assert steers(out.getvalue() + err.getvalue()) == []
