"""What a pipeline shows beside lines: groups, marks, the step's summary."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from ops.core.evidence import Outcome, VerdictEvidence
from ops.core.telling import HostFact, HostRelease, Result, Said, StageBegun, StageEnded, Table
from ops.render.ci import MarkedProgress, Marks, PipelineNarrator, narrated, summarise
from ops.render.deployment import ConsoleNarrator, JSONNarrator
from ops.render.step_summary import change_summary, deploy_summary
from tests.labs.evidence import Make

RESULT = Result(
    flow="deploy",
    stage="production",
    exit_code=0,
    seconds=12.3,
    release="20260102000000",
    revision="0123abc",
    message="release 20260102000000 (0123abc) is current on 2 hosts, restarted",
)
ROWS = (HostRelease("web1", "20260102000000", "20260101000000", ("20260102000000",)), HostRelease("web2", "", note="?"))


@pytest.fixture(autouse=True)
def in_github(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "summary"


def test_a_deploy_is_told_in_groups_with_its_errors_and_a_summary(in_github: Path, rollout: Make) -> None:
    # Given a deploy that tells lines
    errors, output = io.StringIO(), io.StringIO()
    narrator = narrated(ConsoleNarrator(errors, output), errors, sections=True)
    # When it fails on more hosts than can be marked
    narrator.tell(StageBegun("deploy", "updating"))
    for number in range(20):
        narrator.tell(HostFact(f"web{number}", "failed", f"web{number}: disk full", failed=True))
    narrator.tell(StageEnded("deploy", "updating", 1.0, "it failed"))
    narrator.tell(Said("automatic rollback", failed=True))
    narrator.tell(Table(ROWS))
    evidence = json.loads(json.dumps(rollout().as_json()))
    narrator.tell(replace(RESULT, exit_code=12, message="failed\nrolled back", rollout=evidence))
    # Then its stage is a group, the first errors and the result's are marked, no more than GitHub shows
    lines = [line for line in errors.getvalue().splitlines() if line.startswith("::")]
    assert lines[:2] == ["::group::deploy:updating", "::error title=web0::web0: disk full"]
    assert lines[-2:] == ["::endgroup::", "::error title=deploy to production failed::failed%0Arolled back"]
    assert sum(line.startswith("::error") for line in lines) == 9
    # And the summary has what each host runs, and the picture's path
    text = in_github.read_text()
    assert text.startswith("## deploy to production: rolled back\n")
    assert "| web1 | 20260102000000 | 20260102000000 | 20260101000000 |" in text
    picture = Path("karafka-rollouts") / f"{rollout().name}.svg"
    assert f"Picture: `{picture}`" in text
    assert picture.read_text().startswith("<svg")


def test_with_json_nothing_but_events_is_on_standard_output() -> None:
    # When a deploy is told as JSON
    errors, output = io.StringIO(), io.StringIO()
    narrator = narrated(JSONNarrator(output), errors, sections=False)
    narrator.tell(StageBegun("deploy", "updating"))
    narrator.tell(RESULT)
    # Then each line of it is an event with its time, and there are no groups
    events = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [one["event"] for one in events] == ["StageBegun", "Result"]
    assert all(one["at"].endswith("+00:00") for one in events)
    assert errors.getvalue() == ""


def test_the_summary_shows_the_evidence_as_tables(rollout: Make) -> None:
    # Given a rollout that a gate refused
    verdict = VerdictEvidence("gate after batch 1", "refused", 3.0, 1.0, ("partition x-1 has no owner",))
    evidence = rollout(outcome=Outcome.REFUSED, verdicts=(verdict,))
    # When it is summed up
    lines = deploy_summary(replace(RESULT, exit_code=11), (), evidence, "").splitlines()
    # Then there are its totals, slots and stalls, and why it was refused
    assert lines[0] == "## deploy to production: failed (exit 11)"
    assert "| outcome | refused |" in lines
    assert "gate after batch 1: refused" in lines
    assert "| slot | batch | how | standby | stop | takeover | pid | result |" in lines
    assert any(line.startswith("| partition | group | slot | stall |") for line in lines)
    # And every row of a table has the columns of its head
    for above, line in pairwise(lines):
        if above.startswith("|") and line.startswith("|"):
            assert above.count(" |") == line.count(" |"), (above, line)


def test_what_hosts_say_is_text_in_the_summary() -> None:
    # When a process's words are markup, a mention, a picture from elsewhere and a cell's end
    said = "<img src=x> @everyone ![a](http://b) | `c`\nd"
    text = change_summary("restart", "production", 1, [("web1", "karafka-0", said)], None, "")
    # Then all of it is escaped, on one line
    row = r"| web1 | karafka-0 | \<img src=x\> \@everyone \!\[a\]\(http\://b\) \| \`c\` d |"
    assert row in text.splitlines()


def test_a_restart_has_its_group_marks_and_summary(in_github: Path) -> None:
    # When a host fails within a restart
    stream = io.StringIO()
    marks = Marks(stream)
    with marks.section("karafka.restart production"):
        MarkedProgress(stream, marks).trouble("web1: no route\n  look at it")
    summarise(marks, "restart", "production", 4, [("web1", "karafka-0", "unknown")], None)
    # Then the log is folded, the error is marked once, and the summary has the process
    lines = stream.getvalue().splitlines()
    assert lines[0] == "::group::karafka.restart production"
    assert lines[-2:] == ["::error title=web1%3A no route::web1: no route%0A  look at it", "::endgroup::"]
    assert "| web1 | karafka-0 | unknown |" in in_github.read_text()


def test_a_summary_that_cannot_be_written_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a summary in a folder that is not there
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "/nowhere/summary")
    stream = io.StringIO()
    # When it is to be written
    summarise(Marks(stream), "stop", "production", 0, [], None)
    # Then that is said, and no more
    assert "the step's summary could not be written: No such file or directory" in stream.getvalue()


def test_in_no_pipeline_a_narrator_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given no pipeline
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.delenv("GITLAB_CI", raising=False)
    inner = JSONNarrator(io.StringIO())
    # Then nothing is put around what tells
    assert narrated(inner, io.StringIO(), sections=True) is inner
    assert not isinstance(inner, PipelineNarrator)
