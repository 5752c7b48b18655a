"""A command line that every log-in shell reads the same, tried in those that this machine has."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops.fleet.transport.quoting import line_of
from tests.labs.parts import TCSH, find, require

SHELLS = ("sh", "bash", "tcsh", *(one for one in ("dash", "zsh", "csh", "fish") if shutil.which(one)))
PRINTF = "/usr/bin/printf"
SCRIPT = """\
for one do
    /usr/bin/printf '%s\\0' "$one"  # `it's` a "script"!
done
"""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
odd = st.text(" !'\"\\$`\n\r\t;&|<>()[]{}*?~#%^=@-/ax", max_size=12)
words = st.lists(st.one_of(texts, odd), min_size=1, max_size=5)


def read_by(shell: str, before: list[str], command: list[str]) -> list[str]:
    """Return the words that a shell makes of a command line, as the program gets them that is named before them."""
    done = subprocess.run(
        [shell, "-c", line_of([*before, *command])],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True,
    )  # fmt: skip
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_reaches_the_program_as_it_is_whatever_the_log_in_shell(shell: str) -> None:
    # Given a log-in shell
    if shell == "tcsh":
        require(TCSH)
    path = find(shell)
    assert path is not None, f"{shell} is not installed"

    @settings(max_examples=15, deadline=None, database=None)
    @given(words)
    @example(["it's", "a\nb", "!!", "a!b", "  ", "", "=ls", "~", "$HOME", "`id`", "\\", "\\\n", "*", "-n", "é\udc80"])
    def check(command: list[str]) -> None:
        # When it reads the line
        # Then the words are the command's
        assert read_by(path, [PRINTF, "%s\\0"], command) == command
        # And so they are where it is a shell's script that they are given to
        assert read_by(path, ["/bin/sh", "-c", SCRIPT, "it's mine"], command) == command

    check()


@given(words)
def test_a_line_has_no_character_that_shells_read_differently(command: list[str]) -> None:
    # When a command becomes a line
    line = line_of(command)
    # Then beyond plain characters it has but the fixed call of /bin/sh, quotes and octal escapes
    fixed = '/bin/sh -c \'eval "$(printf %b "$0")"\' '
    rest = line.removeprefix(fixed)
    assert not set(rest) & set('!\n\r$`"*?~#^={}[]()<>|;&')
    assert rest.isascii()


def test_a_plain_command_is_sent_as_it_is() -> None:
    # When nothing in a command needs quotes
    line = line_of(["/srv/app/shared/karafka-ops/bin/python", "-I", "-m", "ops.node"])
    # Then the host's log has it as a person would write it
    assert line == "/srv/app/shared/karafka-ops/bin/python -I -m ops.node"
