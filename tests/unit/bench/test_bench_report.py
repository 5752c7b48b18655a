from __future__ import annotations

import json

import pytest

from bench import __main__ as every
from bench.report import Report


@pytest.mark.parametrize(
    ("holds", "allow_missing", "code"),
    [(True, False, 0), (False, False, 1), (False, True, 1), (None, False, 1), (None, True, 0)],
)
def test_a_claim_that_does_not_hold_or_has_no_peer_fails_the_bench(
    holds: bool | None, allow_missing: bool, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a report with one claim that holds and one that is as told
    report = Report("some")
    report.row(command="a", wall_s=1.5)
    report.claim("first", 1, "<= 2", True)
    report.claim("second", 3, "<= 2", holds)
    # When it is finished as JSON
    ended = report.finish(json=True, allow_missing=allow_missing)
    # Then the exit code says whether all of them hold, and the output says what was measured
    assert ended == code
    said = json.loads(capsys.readouterr().out)
    assert said["bench"] == "some"
    assert said["rows"] == [{"command": "a", "wall_s": 1.5}]
    assert said["claims"][1] == {"claim": "second", "measured": 3, "bound": "<= 2", "holds": holds}


def test_running_all_benches_passes_the_flags_on_to_commands_that_exist() -> None:
    # Given all benches
    for bench in every.BENCHES:
        # When the command of one is asked for
        argv = every.command(bench, as_json=True, allow_missing=True)
        # Then it names a script that is there, and carries the flags
        assert (every.HERE / f"{bench}.py").is_file()
        assert argv[2:] == ["--json", "--allow-missing"]
        assert every.command(bench, as_json=False, allow_missing=False) == argv[:2]
