"""What reaches a pipeline's log: orders are our own, everything else is shown."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TextIO, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ops.core.guarded import Guarded, issue
from ops.core.pipeline import GitHub, GitLab, Level, as_data, error_text, may_ask, pipeline_of

# As actions/runner's ActionCommand.cs has it: a line ends at CR, too; `::` begins it, or `##[` is anywhere in it.
ENDS = re.compile(r"\r\n|\r|\n")
NEW = re.compile(r"\s*::[^\s:]+( .*?)?::.*")
OLD = re.compile(r"##\[[^\s\]]+( [^\]]*)?\]")
SECTION = re.compile(r"section_(start|end):\d+:[^\r]+\r\x1b\[0K")
PARTS = st.sampled_from(
    ["::", "error", "##[", "#", "[", "]", " ", "\r", "\n", "\t", "\x1b[0K", "section_start:1:a", "é"]
)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def orders(log: str) -> list[str]:
    return [line for line in ENDS.split(log) if NEW.fullmatch(line) or OLD.search(line)]


def written(pipeline: GitHub | GitLab, write: Callable[[Guarded], object]) -> str:
    raw = io.StringIO(newline="")
    guarded = Guarded(raw, pipeline)
    write(guarded)
    guarded.finish()
    return raw.getvalue()


@example(["x ##[error]no"])
@example(["##[err", "or]no\n"])
@example(["  ::error title=x::no\n"])
@example([" ", "::error::no"])
@example(["x\r::error::no\n"])
@example(["\x1b[0Ksection_end:1:a\r\x1b[0K"])
@given(st.lists(st.lists(PARTS, max_size=9).map("".join), max_size=5))
def test_nothing_that_is_written_is_an_order(texts: list[str]) -> None:
    # When texts are written in whatever parts
    def write(guarded: Guarded) -> None:
        for text in texts:
            guarded.write(text)

    # Then neither pipeline finds an order in them
    assert orders(written(GitHub(), write)) == []
    assert not SECTION.search(written(GitLab(), write))


def test_what_is_harmless_is_written_as_it_is() -> None:
    # When lines with colours, tabs, colons and hashes are written
    text = "12:00:00 web1: \x1b[32mready\x1b[0m\tok :: ## [x]\nsecond\r\n"
    # Then they are unchanged, but for the ends of lines, and colours that are not ours
    plain = text.replace("\r\n", "\n")
    assert written(GitHub(), lambda guarded: guarded.write(text)) == plain.replace("\x1b", "�")
    assert written(GitHub(), lambda guarded: guarded.styled.write(plain)) == plain


def test_an_order_of_ours_stands_on_a_line_of_its_own_and_carries_any_text() -> None:
    # When an error is issued after a line that has not ended
    def write(guarded: Guarded) -> None:
        guarded.write("not ended")
        issue(cast(TextIO, guarded), GitHub().mark(Level.ERROR, "web1: a, b", "50 %\nof it\r"))

    # Then it is one order, its text escaped as GitHub has it
    log = written(GitHub(), write)
    assert log == "not ended\n::error title=web1%3A a%2C b::50 %25%0Aof it�\n"
    assert len(orders(log)) == 1


def test_sections_of_gitlab_have_names_of_their_own() -> None:
    # When two sections of one title are written
    gitlab = GitLab(clock=lambda: 1700000000.4)
    begun = [gitlab.begin("deploy:started [x]"), gitlab.end(), gitlab.begin("deploy:started [x]")]
    # Then each end names its beginning, and no two are the same
    assert begun[0] == "\x1b[0Ksection_start:1700000000:deploy_started_x__1\r\x1b[0Kdeploy:started [x]"
    assert begun[1] == "\x1b[0Ksection_end:1700000000:deploy_started_x__1\r\x1b[0K"
    assert "deploy_started_x__2" in begun[2]


def test_json_stays_what_it_is_and_is_no_order() -> None:
    # When JSON holds what would be an order
    text = as_data('{"line": "##[error]no"}')
    # Then it means the same, and is written as it is
    assert text == r'{"line": "##\u005berror]no"}'
    assert written(GitHub(), lambda guarded: guarded.write(text)) == text + "\n"


def test_the_last_words_are_an_error_where_there_is_such_a_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an error whose words would be an order
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITLAB_CI", raising=False)
    monkeypatch.setattr("sys.stdin", Terminal())
    text = "web1: it said\n::warning::no"
    assert error_text(text) == f"error: {text}"
    assert may_ask()
    # When a pipeline runs it
    # Then it is told in its own way, and nobody is asked anything, whatever terminal there is
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert error_text(text) == "::error title=karafka-ops::web1: it said%0A::warning::no"
    assert not may_ask()
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.setenv("GITLAB_CI", "true")
    assert error_text("a\rb\nc") == "error: a�b\nc"
    assert isinstance(pipeline_of(), GitLab)


@pytest.mark.parametrize("gone", [None, Terminal()])
def test_nobody_is_asked_where_the_input_is_closed(gone: Terminal | None, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a command that was started with `<&-`, or a hook that called exit(), which closes it
    if gone is not None:
        gone.close()
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITLAB_CI", raising=False)
    monkeypatch.setattr("sys.stdin", gone)
    # Then there is nobody to ask
    assert not may_ask()
